"""The requests that Stripe's API must answer for an event, and the objects in the responses.

A fetch plan is a list of objects. Each takes one request, or several if a list has more pages or
one response leads to the next request. The next request follows from the responses so far and from
nothing else, so a worker can continue where another one died.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from billing.envelope import Envelope, referenced_id, usable_id
from billing.facts import Fact, Kind
from billing.families import FAMILIES, STATED_BY_PEOPLE
from billing.fetching.record import GONE, ApiResponse, FetchPlan, FetchRecord, FetchTarget
from billing.ids import ObjectKey, stripe_id_of
from billing.json_fields import Raw, flag_in, object_in, objects_in
from billing.rows import Projection

SUMMARY: Final = FAMILIES[Kind.ENTITLEMENT_SUMMARY].stripe_name
SESSION: Final = FAMILIES[Kind.CHECKOUT_SESSION].stripe_name
SUBSCRIPTION: Final = FAMILIES[Kind.SUBSCRIPTION].stripe_name
INVOICE: Final = FAMILIES[Kind.INVOICE].stripe_name
EVENT: Final = "v2.core.event"
"""A thin event that names no object. Fetching the event itself tells more."""

MAX_PAGES: Final = 50
"""The most pages, of a hundred entries each. A longer list counts as cut off."""

_PATHS: Final[Mapping[str, str]] = {
    family.stripe_name: family.path for family in FAMILIES.values() if family.path
}
"""The path of each family whose objects the API retrieves by id."""

_EVENT_PATH = "/v2/core/events/{}"
_SNAPSHOT_PATH = "/v1/events/{}"
_LISTS: Final[Mapping[str, tuple[str, str]]] = {
    SESSION: ("line_items", "/v1/checkout/sessions/{}/line_items?limit=100"),
    SUBSCRIPTION: ("items", "/v1/subscription_items?subscription={}&limit=100"),
    INVOICE: ("lines", "/v1/invoices/{}/lines?limit=100"),
}
"""The list that Stripe cuts off in an object of each family, and the path of all its pages."""

_FEATURES_PATH = "/v1/entitlements/active_entitlements?customer={}&limit=100"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedObject:
    """An object as the API returned it; ``raw`` is None if it no longer exists."""

    target: FetchTarget
    at: datetime
    raw: Raw | None = field(repr=False)


def plan_fetches(envelope: Envelope) -> FetchPlan:
    """Return the object to fetch for a thin event; empty if it affects no access or money."""
    if not envelope.thin:
        return ()
    related = object_in(envelope.payload, "related_object")
    family, stripe_id = related.get("type"), usable_id(related.get("id"))
    if family in _PATHS and stripe_id:
        return (FetchTarget(family=str(family), stripe_id=stripe_id),)
    if envelope.type.startswith(f"v1.{SUMMARY}."):
        return (FetchTarget(family=EVENT, stripe_id=envelope.event_id),)
    return ()


def open_fetches(
    facts: Iterable[Fact],
    projection: Projection,
    states: Mapping[ObjectKey, datetime],
    fetched: FetchRecord | None,
) -> FetchPlan:
    """Return the objects of these facts that only Stripe's API can complete or decide.

    ``states`` dates the newest fact of each object. An object is not fetched twice for the same
    reason, with one exception: an object whose order is undecided is fetched again unless it no
    longer exists.
    """
    fetched_names = {each.name for each in fetched.targets} if fetched else set()
    gone = (
        {each.target.name for each in fetched_objects(fetched) if each.raw is None}
        if fetched
        else {}
    )
    found = []
    for fact in facts:
        target = _fetch_target(fact, states[fact.object_key])
        if target is None:
            continue
        undecided = fact.object_key in projection.undecided and target.name not in gone
        if undecided or (target.name not in fetched_names and _lacks(fact, projection)):
            found.append(target)
    return tuple(found)


def _fetch_target(fact: Fact, newest: datetime) -> FetchTarget | None:
    stripe_id = stripe_id_of(fact.object_key)
    if fact.kind is Kind.ENTITLEMENT_SUMMARY:
        stripe_id = stripe_id.removeprefix("entitlements/")
    # Disputes before 2014 have no id; their key is that of their charge.
    if "/" in stripe_id or fact.kind in STATED_BY_PEOPLE:
        return None
    return FetchTarget(
        family=FAMILIES[fact.kind].stripe_name, stripe_id=stripe_id, later_than=newest
    )


def _lacks(fact: Fact, projection: Projection) -> bool:
    if fact.kind is Kind.ENTITLEMENT_SUMMARY:
        return fact.customer_id in projection.incomplete_summaries
    return fact.object_key in projection.without_line_items | projection.incomplete_items


def next_request(fetched: FetchRecord) -> str | None:
    """Return the next request as a path with its query; None if all are answered."""
    for target in fetched.targets:
        for request in _requests(target, fetched):
            if fetched.response_to(request) is None:
                return request
    return None


def too_early(fetched: FetchRecord) -> bool:
    """Return True if a response is not later than ``later_than`` by at least a second.

    The request must then be made again.
    """
    seen = (
        (fetched_object.target.later_than, fetched_object.at)
        for fetched_object in fetched_objects(fetched)
    )
    return any(
        later_than is not None and at.replace(microsecond=0) <= later_than.replace(microsecond=0)
        for later_than, at in seen
    )


def fetched_objects(fetched: FetchRecord) -> Iterator[FetchedObject]:
    """Yield every target as the responses show it, leaving out those not yet answered."""
    for target in fetched.targets:
        if target.family in _PATHS:
            yield from _retrieved(target, fetched)
            continue
        by_event = target.family == EVENT
        customer = _customer_behind(target, fetched) if by_event else target.stripe_id
        if customer:
            yield from _summary(target, customer, fetched)


Requests = Generator[str, None, None]


def _requests(target: FetchTarget, fetched: FetchRecord) -> Requests:
    """Yield the requests that lead to an object, each after the response to the one before."""
    if target.family == EVENT:
        yield from _requests_for_event(target, fetched)
    elif target.family == SUMMARY:
        yield from _pages(_path(_FEATURES_PATH, target.stripe_id), fetched)
    else:
        yield _path(_PATHS[target.family], target.stripe_id)
        yield from _further_pages(target, fetched)


def _requests_for_event(target: FetchTarget, fetched: FetchRecord) -> Requests:
    itself = _path(_EVENT_PATH, target.stripe_id)
    yield itself
    event = _body(fetched.response_to(itself))
    snapshot = usable_id(event.get("snapshot_event"))
    if _customer_in(event) is None and snapshot:
        yield _path(_SNAPSHOT_PATH, snapshot)
    if customer := _customer_behind(target, fetched):
        yield from _pages(_path(_FEATURES_PATH, customer), fetched)


def _further_pages(target: FetchTarget, fetched: FetchRecord) -> Requests:
    stated = _body(fetched.response_to(_path(_PATHS[target.family], target.stripe_id)))
    name, path = _LISTS.get(target.family, ("", ""))
    if name and flag_in(object_in(stated, name), "has_more"):
        yield from _pages(_path(path, target.stripe_id), fetched)


def _pages(first: str, fetched: FetchRecord) -> Requests:
    request = first
    for _ in range(MAX_PAGES):
        yield request
        page = _body(fetched.response_to(request))
        last = [usable_id(row.get("id")) for row in objects_in(page, "data")][-1:]
        if not flag_in(page, "has_more") or not last or last[0] is None:
            return
        request = f"{first}&starting_after={quote(last[0], safe='')}"


def _responses(trail: Iterable[str], fetched: FetchRecord) -> list[ApiResponse]:
    found = (fetched.response_to(request) for request in trail)
    return [response for response in found if response is not None]


def _retrieved(target: FetchTarget, fetched: FetchRecord) -> Iterator[FetchedObject]:
    responses = _responses(_requests(target, fetched), fetched)
    if not responses:
        return
    first, *pages = responses
    raw = first.body if first.status != GONE else None
    if raw is not None and pages:
        name, _ = _LISTS[target.family]
        raw = {**raw, name: _list(pages)}
    yield FetchedObject(target=target, at=first.at, raw=raw)


def _summary(target: FetchTarget, customer: str, fetched: FetchRecord) -> Iterator[FetchedObject]:
    """Yield the features as of the first page. A later change has an event of its own."""
    pages = _responses(_pages(_path(_FEATURES_PATH, customer), fetched), fetched)
    if not pages:
        return
    raw = {"object": SUMMARY, "customer": customer, "entitlements": _list(pages)}
    gone = any(page.status == GONE for page in pages)
    yield FetchedObject(target=target, at=pages[0].at, raw=None if gone else raw)


def _list(pages: list[ApiResponse]) -> dict[str, Any]:
    """Return all pages as one list, which is incomplete if even the last page has more."""
    data = [row for page in pages for row in objects_in(page.body, "data")]
    return {"data": data, "has_more": flag_in(pages[-1].body, "has_more")}


def _customer_behind(target: FetchTarget, fetched: FetchRecord) -> str | None:
    """Return the customer that an event is about, named by it or by its snapshot event."""
    event = _body(fetched.response_to(_path(_EVENT_PATH, target.stripe_id)))
    if customer := _customer_in(event):
        return customer
    snapshot = usable_id(event.get("snapshot_event"))
    snapshot_event = _body(fetched.response_to(_path(_SNAPSHOT_PATH, snapshot))) if snapshot else {}
    return referenced_id(object_in(snapshot_event, "data", "object").get("customer"))


def _customer_in(event: Raw) -> str | None:
    places = (object_in(event, "data"), object_in(event, "changes", "after"))
    return next(filter(None, (referenced_id(place.get("customer")) for place in places)), None)


def _body(response: ApiResponse | None) -> Raw:
    return {} if response is None or response.status == GONE else response.body


def _path(template: str, stripe_id: str) -> str:
    return template.format(quote(stripe_id, safe=""))
