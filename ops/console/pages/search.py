"""One search over users, addresses, ids of Stripe, plans, grants and links."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from flask import Blueprint, Response, request, url_for

from billing.text import storable
from ops.console.pages.frame import Frame
from ops.console.pages.list_forms import lead_to
from ops.queries.search import SearchHit, search

_PAGES: Final[Mapping[str, Callable[[SearchHit], str]]] = MappingProxyType(
    {
        "user": lambda hit: url_for("users.show", user_id=hit.id),
        "email": lambda hit: url_for("users.find", q=hit.id),
        "customer": lambda hit: url_for("customers.show", stripe_id=hit.id),
        "subscription": lambda hit: url_for("subscriptions.show", stripe_id=hit.id),
        "payment": lambda hit: url_for("payments.show", stripe_id=hit.id),
        "charge": lambda hit: url_for("payments.show", stripe_id=hit.id),
        "invoice": lambda hit: url_for("payments.show", stripe_id=hit.id),
        "refund": lambda hit: url_for("payments.show", stripe_id=hit.id),
        "dispute": lambda hit: url_for("payments.show", stripe_id=hit.id),
        "session": lambda hit: url_for("purchases.show", stripe_id=hit.id),
        "event": lambda hit: url_for("events.show", key=hit.id),
        "dead_letter": lambda hit: url_for("events.show", key=hit.id),
        "plan": lambda hit: url_for("plans.show", code=hit.id),
        "price": lambda hit: url_for("plans.show", code=hit.detail),
        "grant": lambda hit: url_for("users.show", user_id=hit.detail),
        "link": lambda hit: url_for("users.show", user_id=hit.detail),
    }
)
"""The page about a hit, by its kind; any other object is looked for among events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownHit:
    """A hit with the URL of its page."""

    hit: SearchHit
    url: str


def search_pages(frame: Frame) -> Blueprint:
    """Return the route of the search."""
    pages = Blueprint("search", __name__)

    @pages.get("/search")
    def find() -> Response:
        text = storable(request.args.get("q", "")).strip()
        found = frame.read(lambda connection: search(connection, frame.realms, text))
        hits = [ShownHit(hit=each, url=_url_of(each)) for each in found]
        # A box that lists hits while one types must not lead away.
        if "HX-Request" not in request.headers and (url := _only_page(hits)):
            return lead_to(url)
        return frame.render("search/find.html", q=text, hits=hits)

    return pages


def _url_of(hit: SearchHit) -> str:
    page = _PAGES.get(hit.kind)
    return page(hit) if page else url_for("events.find", about=hit.id)


def _only_page(hits: Sequence[ShownHit]) -> str | None:
    """Return the page to which all exact hits lead, None if they lead to several or none."""
    urls = {each.url for each in hits if each.hit.exact}
    return urls.pop() if len(urls) == 1 else None
