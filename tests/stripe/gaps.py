"""Gaps between Stripe and an endpoint: changes at a company of which some events are never heard.

Each gap says the class and the object of the difference that it makes (``ops/reconcile``). Its
events are among ``Company.events``, so leave them out of what your side hears. Stripe lists them
only if asked to: events that are not listed were never made, or are older than thirty days.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from random import Random
from typing import Final, NamedTuple

from ops.samples.scenario import DAY
from ops.samples.worlds import offers
from ops.samples.worlds.records import Charge, Customer, Dispute, Intent, Session, Subscription
from ops.samples.worlds.steps import buying, people, subscribing
from tests.stripe.company import Company, CompanyEvent
from tests.stripe.state import Json
from tests.stripe.subscriber import Subscriber

_HARMLESS: Final = "invoice.payment_succeeded"
"""The type of an event that says nothing that ``invoice.paid`` has not said."""


class ExpectedDifference(NamedTuple):
    """The difference that a comparison must find: its class, and the object that names it."""

    classed: str
    family: str
    name: str


@dataclass(frozen=True, kw_only=True)
class PlantedGap:
    """A gap, the difference that it makes, and the events that are not heard."""

    kind: str
    expected: ExpectedDifference
    beside: tuple[ExpectedDifference, ...] = ()
    """Differences of other objects that follow from the same events."""
    customer: str
    events: tuple[CompanyEvent, ...]

    def stated(self) -> Json:
        """Return it as JSON."""
        ids = [event.id for event in self.events]
        return {
            "kind": self.kind,
            **self.expected._asdict(),
            "beside": [each._asdict() for each in self.beside],
            "customer": self.customer,
            "events": ids,
        }


class GapPlanting:
    """A company while gaps are planted; each takes a subscriber of its own."""

    def __init__(self, company: Company, random: Random) -> None:
        self.company = company
        self._free = [each for each in company.subscribers if _is_free(company, each)]
        random.shuffle(self._free)
        self.taken: Subscriber | None = None
        self.heard_before = 0
        """The events of the subscriber that were there before the gap."""

    def take(self, fits: Callable[[Subscriber], object] = lambda _: True) -> Subscriber:
        """Return a subscriber who pays now, who fits, and whom no other gap has."""
        found = next((each for each in self._free if fits(each)), None)
        if found is None:
            raise ValueError("the company has too few subscribers for so many gaps")
        self._free.remove(found)
        self.taken, self.heard_before = found, len(found.account.heard)
        return found

    def settle(self, named: str) -> Subscriber:
        """Return a subscriber who came a day ago."""
        found = self.company.settle(self.company.plan.now - DAY, named=named)
        self.taken, self.heard_before = found, 0
        return found


def plant_gaps(
    company: Company, number: int, *, listed: bool = False, kinds: Sequence[str] = ()
) -> list[PlantedGap]:
    """Plant so many gaps, of each kind in turn; ``listed`` has Stripe list their events.

    The event that a ``missing_event`` is about is listed always. Gaps repeat with their company.
    """
    planting = GapPlanting(company, Random(f"{company.plan.seed}/gaps"))  # noqa: S311 - must repeat
    return [_plant(planting, kind, listed=listed) for kind in islice(cycle(kinds or KINDS), number)]


def heard_events(company: Company, gaps: Iterable[PlantedGap]) -> Iterator[CompanyEvent]:
    """Yield the events that an endpoint hears that has these gaps, in order."""
    unheard = {event.id for gap in gaps for event in gap.events}
    return (event for event in company.events() if event.id not in unheard)


def _plant(planting: GapPlanting, kind: str, *, listed: bool) -> PlantedGap:
    expected, company = KINDS[kind](planting), planting.company
    assert planting.taken is not None
    events = company.note(planting.taken, since=planting.heard_before, listed=listed)
    if expected.family == "event":
        events = [each for each in company.listed.newest() if each.id == expected.name]
    (customer,) = planting.taken.account.of(Customer)
    beside = [
        ExpectedDifference("missing_here", "payment", each.id)
        for each in planting.taken.account.of(Intent)
        if kind == "missing_here"
    ]
    return PlantedGap(
        kind=kind,
        expected=expected,
        beside=tuple(beside),
        customer=customer.id,
        events=tuple(events),
    )


def _is_free(company: Company, subscriber: Subscriber) -> bool:
    held = next(subscriber.account.of(Subscription), None)
    return (
        held is not None
        and held.status == "active"
        and not held.cancel_at_period_end
        and held.items[0].offer in (offers.PRO, offers.BASIC)
        and subscriber.named in ("customer", "objects")
        and subscriber.account.at + DAY < company.plan.now
        and not any(subscriber.account.of(Dispute))
    )


def _held(subscriber: Subscriber) -> Subscription:
    return next(subscriber.account.of(Subscription))


def _missing_event(planting: GapPlanting) -> ExpectedDifference:
    events = {each.account: each for each in planting.company.listed.newest(_HARMLESS)}
    subscriber = planting.take(lambda each: each.account in events)
    return ExpectedDifference("missing_event", "event", events[subscriber.account].id)


def _missing_here(planting: GapPlanting) -> ExpectedDifference:
    held = _held(planting.settle(named="nowhere"))
    return ExpectedDifference("missing_here", "subscription", held.id)


def _unknown_there(planting: GapPlanting) -> ExpectedDifference:
    subscriber = planting.take()
    held = _held(subscriber)
    planting.company.stripe.drop(held.id)
    del subscriber.account.records[held.id]
    return ExpectedDifference("unknown_there", "subscription", held.id)


def _stale(planting: GapPlanting) -> ExpectedDifference:
    subscriber = planting.take()
    held = subscribing.cancel_at_period_end(subscriber.account, _held(subscriber))
    return ExpectedDifference("stale_here", "subscription", held.id)


def _other_status(planting: GapPlanting) -> ExpectedDifference:
    subscriber = planting.take()
    end = _held(subscriber).items[0].end
    changes = {"status": "trialing", "trial_end": end}
    held = subscribing.update(subscriber.account, _held(subscriber), **changes)
    return ExpectedDifference("other_status", "subscription", held.id)


def _other_price(planting: GapPlanting) -> ExpectedDifference:
    subscriber = planting.take()
    (item, *_) = _held(subscriber).items
    other = offers.BASIC if item.offer is offers.PRO else offers.PRO
    items = [replace(item, offer=other)]
    held = subscribing.change_items(subscriber.account, _held(subscriber), items)
    return ExpectedDifference("other_price", "subscription", held.id)


def _other_period(planting: GapPlanting) -> ExpectedDifference:
    subscriber = planting.take()
    (item, *_) = _held(subscriber).items
    items = [replace(item, end=item.end + 10 * DAY)]
    held = subscribing.change_items(subscriber.account, _held(subscriber), items)
    return ExpectedDifference("other_period", "subscription", held.id)


def _other_user(planting: GapPlanting) -> ExpectedDifference:
    subscriber = planting.take(lambda each: each.named == "customer")
    (customer,) = subscriber.account.of(Customer)
    people.name_user(subscriber.account, customer, f"{subscriber.user}_moved")
    return ExpectedDifference("other_user", "customer", customer.id)


def _paid_not_granted(planting: GapPlanting) -> ExpectedDifference:
    subscriber = planting.take(_has_bought_nothing)
    account = subscriber.account
    (customer,) = account.of(Customer)
    names = subscriber.names(offers.LIFETIME)
    session = buying.check_out(account, customer, offers.LIFETIME.amount, names)
    account.sold[session.id] = offers.LIFETIME
    return ExpectedDifference("paid_not_granted", "payment", str(session.intent))


def _has_bought_nothing(subscriber: Subscriber) -> bool:
    return all(each.mode != "payment" for each in subscriber.account.of(Session))


def _granted_not_paid(planting: GapPlanting) -> ExpectedDifference:
    subscriber = planting.take()
    held = subscribing.cancel(subscriber.account, _held(subscriber))
    return ExpectedDifference("granted_not_paid", "subscription", held.id)


def _amounts(planting: GapPlanting) -> ExpectedDifference:
    subscriber = planting.take(_refundable)
    charge = _refundable(subscriber)[-1]
    buying.refund(subscriber.account, charge, charge.amount // 2)
    return ExpectedDifference("amounts", "payment", str(charge.intent))


def _refundable(subscriber: Subscriber) -> list[Charge]:
    """Return the charges of bills that no refund has touched."""
    charges = subscriber.account.of(Charge)
    return [
        each for each in charges if each.status == "succeeded" and not each.refunds and each.invoice
    ]


KINDS: Final[Mapping[str, Callable[[GapPlanting], ExpectedDifference]]] = {
    "missing_event": _missing_event,
    "missing_here": _missing_here,
    "stale": _stale,
    "unknown_there": _unknown_there,
    "other_status": _other_status,
    "other_price": _other_price,
    "other_period": _other_period,
    "other_user": _other_user,
    "paid_not_granted": _paid_not_granted,
    "granted_not_paid": _granted_not_paid,
    "amounts": _amounts,
}
"""The kinds of gaps, and how each is planted."""
