"""The requests that Stripe's API must answer for an event, and the objects in the responses.

A fetch plan is a list of objects. Each takes one request, or several if a list has more pages or
one response leads to the next request. The next request follows from the responses so far and from
nothing else, so a worker can continue where another one died.
"""

import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from billing.envelope import Envelope, referenced_id, usable_id
from billing.facts import CreditNoteFields, Fact, InvoiceFields, Kind
from billing.families import FAMILIES, STATED_BY_PEOPLE
from billing.fetching.observations import ApiObservation, Observations
from billing.fetching.record import ApiResponse, FetchPlan, FetchRecord, FetchTarget
from billing.ids import ObjectKey, stripe_id_of
from billing.json_fields import Raw, flag_in, is_whole_list, object_in, objects_in
from billing.rows import Projection
from billing.statuses import PAID

SUMMARY: Final = FAMILIES[Kind.ENTITLEMENT_SUMMARY].stripe_name
SESSION: Final = FAMILIES[Kind.CHECKOUT_SESSION].stripe_name
SUBSCRIPTION: Final = FAMILIES[Kind.SUBSCRIPTION].stripe_name
INVOICE: Final = FAMILIES[Kind.INVOICE].stripe_name
CREDIT_NOTE: Final = FAMILIES[Kind.CREDIT_NOTE].stripe_name
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
    CREDIT_NOTE: ("lines", "/v1/credit_notes/{}/lines?limit=100"),
}
"""The list that Stripe cuts off in an object of each family, and the path of all its pages."""

_FEATURES_PATH = "/v1/entitlements/active_entitlements?customer={}&limit=100"


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
    observations: Observations,
) -> FetchPlan:
    """Return the objects of these facts that only Stripe's API can complete or decide.

    ``states`` dates the newest fact of each object, and ``observations`` are what was fetched for
    the event so far. An object is not fetched twice for the same reason, with one exception: an
    object whose order is undecided is fetched again unless it no longer exists.
    """
    known = {each.name for each in observations}
    gone = {each.name for each in observations if each.gone}
    found: dict[ObjectKey, FetchTarget] = {}
    for fact in facts:
        newest = states[fact.object_key]
        target = _fetch_target(fact, newest)
        if target is None:
            continue
        undecided = fact.object_key in projection.undecided and target.name not in gone
        lacks = _lacks(fact, projection) or (lacks_lines(fact) and newest <= fact.created_at)
        if undecided or (target.name not in known and lacks):
            found[fact.object_key] = target
    return tuple(found.values())


def lacks_lines(fact: Fact) -> bool:
    """Return True if Stripe left out lines of a paid invoice or of a credit note."""
    match fact.fields:
        case InvoiceFields(status=status, lines=lines, lines_complete=complete):
            return status == PAID and bool(lines) and not complete
        case CreditNoteFields(lines=lines, lines_complete=complete):
            return bool(lines) and not complete
        case _:
            return False


def shows_a_part(family: str, raw: Raw) -> bool:
    """Return True if an object lacks entries of a list that Stripe shows whole by itself."""
    name, _ = _LISTS.get(family, ("", ""))
    return isinstance(raw.get(name), dict) and not is_whole_list(raw, name)


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
    return any(
        target.later_than is not None
        and observation.asked_at <= target.later_than.replace(microsecond=0)
        for target in fetched.targets
        for observation in _observed(target, fetched)
    )


def observations_in(fetched: FetchRecord) -> Observations:
    """Return every target as the responses show it, leaving out those not yet answered."""
    return tuple(each for target in fetched.targets for each in _observed(target, fetched))


def _observed(target: FetchTarget, fetched: FetchRecord) -> Iterator[ApiObservation]:
    if target.family in _PATHS:
        yield from _retrieved(target, fetched)
        return
    by_event = target.family == EVENT
    customer = _customer_behind(target, fetched) if by_event else target.stripe_id
    if customer:
        yield from _summary(customer, fetched)


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


def _retrieved(target: FetchTarget, fetched: FetchRecord) -> Iterator[ApiObservation]:
    responses = _responses(_requests(target, fetched), fetched)
    if not responses:
        return
    first, *pages = responses
    payload = first.text
    if pages:
        name, _ = _LISTS[target.family]
        payload = _as_text({**first.body, name: _list(pages)})
    yield _observation(target.name, first, payload, gone=first.gone)


def _summary(customer: str, fetched: FetchRecord) -> Iterator[ApiObservation]:
    """Yield the features as of the first page. A later change has an event of its own."""
    pages = _responses(_pages(_path(_FEATURES_PATH, customer), fetched), fetched)
    if not pages:
        return
    raw = {"object": SUMMARY, "customer": customer, "entitlements": _list(pages)}
    missing = [page.text for page in pages if page.gone]
    payload = missing[0] if missing else _as_text(raw)
    yield _observation((SUMMARY, customer), pages[0], payload, gone=bool(missing))


def _observation(
    name: tuple[str, str], first: ApiResponse, payload: str, *, gone: bool
) -> ApiObservation:
    """Return an object as of the first of the requests that it took."""
    family, object_id = name
    return ApiObservation(
        family=family,
        object_id=object_id,
        asked_at=first.at,
        api_version=first.api_version,
        gone=gone,
        payload=payload,
    )


def _list(pages: list[ApiResponse]) -> dict[str, Any]:
    """Return all pages as one list, which is incomplete if even the last page has more."""
    data = [row for page in pages for row in objects_in(page.body, "data")]
    return {"object": "list", "data": data, "has_more": flag_in(pages[-1].body, "has_more")}


def _as_text(raw: Raw) -> str:
    return json.dumps(raw, separators=(",", ":"))


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
    return {} if response is None or response.gone else response.body


def _path(template: str, stripe_id: str) -> str:
    return template.format(quote(stripe_id, safe=""))
