"""Stand-ins for the pages to which the frame of every page leads."""

from collections.abc import Sequence

from flask import Blueprint

FRAME_ENDPOINTS = ("overview.show", "search.find", "login.log_out")


def other_pages(given: Sequence[Blueprint], *endpoints: str) -> list[Blueprint]:
    """Return a blueprint for each endpoint whose subject is not among those given."""
    subjects = {each.name for each in given}
    others = []
    for endpoint in endpoints or FRAME_ENDPOINTS:
        subject, _, action = endpoint.partition(".")
        if subject not in subjects:
            other = Blueprint(subject, __name__)
            methods = ["POST"] if endpoint == "login.log_out" else ["GET"]
            other.add_url_rule(f"/{subject}", action, lambda: "another page", methods=methods)
            others.append(other)
    return others
