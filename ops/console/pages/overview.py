"""The first page: the state in one sentence, what needs attention, and how it has been."""

from collections.abc import Mapping, Sequence
from typing import Final

from flask import Blueprint, Response

from ops.console.pages.frame import Frame
from ops.console.pages.refreshed import RefreshedValue
from ops.doctor.findings import Finding, State
from ops.doctor.summary import summarize
from ops.status.breaker import describe_breaker
from ops.status.overview import Overview
from ops.status.room import describe_room
from ops.terminal.disks import describe_disk

FIRST_WAIT_SECONDS: Final = 2.0
"""How long the first visitor waits for the numbers; who comes later never waits."""

_PAGES: Final[Mapping[str, tuple[str, str]]] = {
    "dead letters": ("dead_letters.show_all", "Dead letters"),
    "plans": ("plans.show_all", "Plans"),
    "prices": ("plans.show_all", "Plans"),
    "former prices": ("plans.show_all", "Plans"),
    "kept prices": ("plans.show_all", "Plans"),
    "empty plans": ("plans.show_all", "Plans"),
    "fetching": ("events.find", "Events"),
    "backlog": ("events.find", "Events"),
    "access": ("audit.find", "Audit"),
}
"""The page that helps with a finding, by its check; the finding itself says what to do."""


def overview_pages(
    frame: Frame,
    overview: RefreshedValue[Overview],
    findings: RefreshedValue[Sequence[Finding]],
) -> Blueprint:
    """Return the routes of the first page."""
    pages = Blueprint("overview", __name__)
    frame.add_to_navigation("Overview", "overview.show")

    @pages.get("/")
    def show() -> Response:
        seen = overview.get(wait=FIRST_WAIT_SECONDS)
        found = findings.get()
        if seen is None:
            return frame.render("overview/unknown.html", status=503)
        return frame.render(
            "overview/show.html",
            seen=seen,
            summary=summarize(seen, found or ()),
            attention=[each for each in found or () if each.state is not State.OK],
            checked=found is not None,
            page_of=_PAGES,
            breaker=describe_breaker(seen.inbox) if seen.inbox else None,
            room=describe_room(seen.room) if seen.room else None,
            disks=[(disk, describe_disk(disk)) for disk in seen.disks],
        )

    return pages
