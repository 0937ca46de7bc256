"""What has to be asked of Stripe's API about an event, and what the answers show.

An errand is a list of objects to look at. Each is one request, or a few where a list goes on or
where one answer leads to the next. Which request comes next follows from the answers so far and
from nothing else, so whoever holds them can go on where another one died.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from billing.envelope import Envelope, referenced_id, usable_id
from billing.facts import Fact, Kind
from billing.fetching.record import GONE, Answer, Fetched, Wanted
from billing.ids import ObjectKey, stripe_id_of
from billing.json_fields import Raw, flag, rows, table
from billing.rows import Projection

SUMMARY: Final = "entitlements.active_entitlement_summary"
SESSION: Final = "checkout.session"
EVENT: Final = "v2.core.event"
"""A thin event that names no object: the event itself says more when it is asked for."""

MOST_PAGES: Final = 50
"""Of a hundred entries each. A list that is longer counts as cut off."""

_PATHS: Final[Mapping[str, str]] = {
    "customer": "/v1/customers/{}",
    "subscription": "/v1/subscriptions/{}",
    SESSION: "/v1/checkout/sessions/{}?expand[]=line_items",
    "payment_intent": "/v1/payment_intents/{}",
    "charge": "/v1/charges/{}",
    "refund": "/v1/refunds/{}",
    "dispute": "/v1/disputes/{}",
    "invoice": "/v1/invoices/{}?expand[]=payments",
    "invoice_payment": "/v1/invoice_payments/{}",
}
FAMILIES: Final = frozenset(_PATHS) | {SUMMARY}
"""What can be looked at, by Stripe's name of it."""

_EVENT_PATH = "/v2/core/events/{}"
_SNAPSHOT_PATH = "/v1/events/{}"
_LINES_PATH = "/v1/checkout/sessions/{}/line_items?limit=100"
_FEATURES_PATH = "/v1/entitlements/active_entitlements?customer={}&limit=100"

_FAMILY_OF: Final[Mapping[Kind, str]] = {
    Kind.CUSTOMER: "customer",
    Kind.SUBSCRIPTION: "subscription",
    Kind.CHECKOUT_SESSION: SESSION,
    Kind.PAYMENT_INTENT: "payment_intent",
    Kind.CHARGE: "charge",
    Kind.REFUND: "refund",
    Kind.DISPUTE: "dispute",
    Kind.INVOICE: "invoice",
    Kind.INVOICE_PAYMENT: "invoice_payment",
    Kind.ENTITLEMENT_SUMMARY: SUMMARY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """An object as the API showed it; ``raw`` is None where it is gone."""

    wanted: Wanted
    at: datetime
    raw: Raw | None = field(repr=False)


def errand_of(envelope: Envelope) -> tuple[Wanted, ...]:
    """What a thin event is about; nothing where it could bear on neither access nor money."""
    if not envelope.thin:
        return ()
    related = table(envelope.payload, "related_object")
    family, stripe_id = related.get("type"), usable_id(related.get("id"))
    if family in _PATHS and stripe_id:
        return (Wanted(family=str(family), stripe_id=stripe_id),)
    if envelope.type.startswith(f"v1.{SUMMARY}."):
        return (Wanted(family=EVENT, stripe_id=envelope.event_id),)
    return ()


def left_open(
    facts: Iterable[Fact],
    projection: Projection,
    states: Mapping[ObjectKey, datetime],
    fetched: Fetched | None,
) -> tuple[Wanted, ...]:
    """Of what these facts are about, everything that only Stripe's API can complete or decide.

    ``states`` dates the newest fact of each object. What was looked at already is not looked at
    for the same reason again; an order that is still open is, unless the object is gone.
    """
    asked = {each.name for each in fetched.wanted} if fetched else set()
    gone = {each.wanted.name for each in sightings(fetched) if each.raw is None} if fetched else {}
    found = []
    for fact in facts:
        wanted = _wanted(fact, states[fact.object_key])
        if wanted is None:
            continue
        undecided = fact.object_key in projection.undecided and wanted.name not in gone
        if undecided or (wanted.name not in asked and _lacks(fact, projection)):
            found.append(wanted)
    return tuple(found)


def _wanted(fact: Fact, newest: datetime) -> Wanted | None:
    stripe_id = stripe_id_of(fact.object_key)
    if fact.kind is Kind.ENTITLEMENT_SUMMARY:
        stripe_id = stripe_id.removeprefix("entitlements/")
    # Disputes of 2014 are filed under their charge, and have no id to ask for.
    if "/" in stripe_id:
        return None
    return Wanted(family=_FAMILY_OF[fact.kind], stripe_id=stripe_id, later_than=newest)


def _lacks(fact: Fact, projection: Projection) -> bool:
    if fact.kind is Kind.ENTITLEMENT_SUMMARY:
        return fact.customer_id in projection.incomplete_summaries
    return fact.kind is Kind.CHECKOUT_SESSION and fact.object_key in projection.unlisted


def next_request(fetched: Fetched) -> str | None:
    """The next thing to ask for, as a path with its query; None once all is answered."""
    for wanted in fetched.wanted:
        for request in _trail(wanted, fetched):
            if fetched.to(request) is None:
                return request
    return None


def too_early(fetched: Fetched) -> bool:
    """Whether an answer is of the very second that was to be over; it has to be asked for again."""
    seen = ((sighting.wanted.later_than, sighting.at) for sighting in sightings(fetched))
    return any(
        later_than is not None and at.replace(microsecond=0) <= later_than.replace(microsecond=0)
        for later_than, at in seen
    )


def sightings(fetched: Fetched) -> Iterator[Sighting]:
    """What was seen of every object that was wanted; nothing of one that nothing led to."""
    for wanted in fetched.wanted:
        if wanted.family in _PATHS:
            yield from _retrieved(wanted, fetched)
            continue
        by_event = wanted.family == EVENT
        customer = _customer_behind(wanted, fetched) if by_event else wanted.stripe_id
        if customer:
            yield from _summary(wanted, customer, fetched)


Trail = Generator[str, None, None]


def _trail(wanted: Wanted, fetched: Fetched) -> Trail:
    """The requests that lead to an object, each one given once the one before is answered."""
    if wanted.family == EVENT:
        yield from _trail_of_event(wanted, fetched)
    elif wanted.family == SUMMARY:
        yield from _pages(_path(_FEATURES_PATH, wanted.stripe_id), fetched)
    else:
        yield _path(_PATHS[wanted.family], wanted.stripe_id)
        yield from _further_lines(wanted, fetched)


def _trail_of_event(wanted: Wanted, fetched: Fetched) -> Trail:
    itself = _path(_EVENT_PATH, wanted.stripe_id)
    yield itself
    event = _body(fetched.to(itself))
    snapshot = usable_id(event.get("snapshot_event"))
    if _customer_in(event) is None and snapshot:
        yield _path(_SNAPSHOT_PATH, snapshot)
    if customer := _customer_behind(wanted, fetched):
        yield from _pages(_path(_FEATURES_PATH, customer), fetched)


def _further_lines(wanted: Wanted, fetched: Fetched) -> Trail:
    session = _body(fetched.to(_path(_PATHS[wanted.family], wanted.stripe_id)))
    if wanted.family == SESSION and flag(table(session, "line_items"), "has_more"):
        yield from _pages(_path(_LINES_PATH, wanted.stripe_id), fetched)


def _pages(first: str, fetched: Fetched) -> Trail:
    request = first
    for _ in range(MOST_PAGES):
        yield request
        page = _body(fetched.to(request))
        last = [usable_id(row.get("id")) for row in rows(page, "data")][-1:]
        if not flag(page, "has_more") or not last or last[0] is None:
            return
        request = f"{first}&starting_after={quote(last[0], safe='')}"


def _answers(trail: Iterable[str], fetched: Fetched) -> list[Answer]:
    found = (fetched.to(request) for request in trail)
    return [answer for answer in found if answer is not None]


def _retrieved(wanted: Wanted, fetched: Fetched) -> Iterator[Sighting]:
    answers = _answers(_trail(wanted, fetched), fetched)
    if not answers:
        return
    first, *pages = answers
    raw = first.body if first.status != GONE else None
    if raw is not None and pages:
        raw = {**raw, "line_items": _list(pages)}
    yield Sighting(wanted=wanted, at=first.at, raw=raw)


def _summary(wanted: Wanted, customer: str, fetched: Fetched) -> Iterator[Sighting]:
    """As of the first page: what changes while the others are read has an event of its own."""
    pages = _answers(_pages(_path(_FEATURES_PATH, customer), fetched), fetched)
    if not pages:
        return
    raw = {"object": SUMMARY, "customer": customer, "entitlements": _list(pages)}
    gone = any(page.status == GONE for page in pages)
    yield Sighting(wanted=wanted, at=pages[0].at, raw=None if gone else raw)


def _list(pages: list[Answer]) -> dict[str, Any]:
    """All pages as the one list they are; it goes on if even the last page says so."""
    data = [row for page in pages for row in rows(page.body, "data")]
    return {"object": "list", "data": data, "has_more": flag(pages[-1].body, "has_more")}


def _customer_behind(wanted: Wanted, fetched: Fetched) -> str | None:
    """Whose features an event is about: it says so itself, or the snapshot event it names does."""
    event = _body(fetched.to(_path(_EVENT_PATH, wanted.stripe_id)))
    if customer := _customer_in(event):
        return customer
    snapshot = usable_id(event.get("snapshot_event"))
    told = _body(fetched.to(_path(_SNAPSHOT_PATH, snapshot))) if snapshot else {}
    return referenced_id(table(told, "data", "object").get("customer"))


def _customer_in(event: Raw) -> str | None:
    places = (table(event, "data"), table(event, "changes", "after"))
    return next(filter(None, (referenced_id(place.get("customer")) for place in places)), None)


def _body(answer: Answer | None) -> Raw:
    return {} if answer is None or answer.status == GONE else answer.body


def _path(template: str, stripe_id: str) -> str:
    return template.format(quote(stripe_id, safe=""))
