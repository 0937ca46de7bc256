"""Build the events of every measurement: whole lifecycles in the API shapes Stripe has sent.

The first mix has subscriptions, renewals, upgrades, one-time purchases and refunds of distinct
customers, fifty of them at a time. It keeps the events of checkouts, subscriptions, invoices,
payment intents, charges and refunds: 4.2 kB on average, nine of ten between 1.8 and 6.2. In the
second mix a fifth of the deliveries are repetitions soon after the first, and one customer in fifty
is hot, with ten times as many events.

``old`` customers take part in both: a share of the events are further purchases by customers with
many payments, whose past the measured database contains (``past``). Those of a higher ``turn`` are
newer, so samples that one database gets have rising turns: an event that is older than what a
customer has paid since is rare, and costs more.

Stripe's ids are not random: they begin with the second they were made in, in base 62. The event
that was ``created`` at 1566204936 is ``evt_1F96eK...``, one of 1677833999 ``evt_1MhUT7...``. The
mixes do the same, so that indexes are written at their end and not all over.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count, islice, zip_longest
from random import Random
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Final

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from ops.samples.scenario import DAY, Event
from ops.send.traffic import TrafficPlan

Bodies = list[bytes]

NOW: Final = 1_790_000_000
"""The time of the lifecycles' ends; fixed, so that every run sends the same bytes."""

LONG_AGO: Final = NOW - 30 * DAY

_SCENARIOS: Final = ("first_paid", "renewal", "onetime", "refund_full", "upgrade")
_FAMILIES: Final = (
    "checkout.session.",
    "customer.subscription.",
    "invoice.",
    "payment_intent.",
    "charge.",
    "refund.",
)
_SHAPES: Final = (Shape.OLD, Shape.NEW)
_PURCHASE: Final = "onetime"
_PURCHASES_APART: Final = 8 * 3600
_NOW_APART: Final = 120
_TURNS_APART: Final = 9 * 3600
"""Seconds between two purchases of an old customer, before the measurement and in it, and between
the first of a sample and the first of the next."""

_TOGETHER: Final = 50
_ENDLESS: Final = 1_000_000
_AGAIN: Final = 0.25
_SOON: Final = 100
_HOT_EVERY: Final = 50
_HOT_LIFECYCLES: Final = 10
_CUSTOMER: Final = re.compile(rb"cus_\w+")

_DIGITS: Final = (digits + ascii_uppercase + ascii_lowercase).encode()
_DATED: Final = re.compile(
    rb"\b(evt|in|sub|pi|ch|re|cus)_(?:[A-Za-z0-9]{16}|[A-Za-z0-9]{5})([A-Za-z0-9]{8,9})(?![A-Za-z0-9])"
)
_ACCOUNT: Final = b"E0b6fckueS"
_FROM: Final = 426_256_548
_CUSTOMERS_FROM: Final = 1_331_207_822
_IN_ONE_SECOND: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class OldCustomers:
    """Customers with so many payments each; one event in ``every`` is about one of them."""

    payments: int
    customers: int
    every: int

    @property
    def ids(self) -> list[bytes]:
        """The ids of these customers at Stripe."""
        return [
            _made_at(LONG_AGO - self.payments * _PURCHASES_APART, b"cus", b"%05d%04d" % pair)
            for pair in ((self.payments, number) for number in range(self.customers))
        ]


OLD: Final = (
    OldCustomers(payments=300, customers=20, every=10),
    OldCustomers(payments=5000, customers=1, every=100),
)
"""A tenth of the events, and a hundredth; their pasts are 11,000 payments, three events each."""

FEWER_OLD: Final = (replace(OLD[0], customers=4), OLD[1])
"""The same shares with a past of 6,200 payments."""


def first(
    events: int,
    seed: str,
    *,
    began: int = NOW,
    old: Sequence[OldCustomers] = (),
    turn: int = 0,
) -> Bodies:
    """Return distinct events of distinct customers, with ids made from ``began`` on."""
    theirs = [chain.from_iterable(_purchases(each, seed, turn)) for each in old]
    mixed = _with_old(_interleaved(_customers(seed)), old, theirs)
    return list(islice(_dated(mixed, began, old), events))


def second(events: int, seed: str, *, old: Sequence[OldCustomers] = (), turn: int = 0) -> Bodies:
    """Return deliveries, a fifth of them repetitions, with some hot customers."""
    theirs = [chain.from_iterable(_purchases(each, seed, turn)) for each in old]
    mixed = _with_old(_interleaved(_with_hot(_customers(seed))), old, theirs)
    distinct = _dated(mixed, NOW, old)
    return list(islice(_repeated(distinct, Random(seed)), events))  # noqa: S311 - seeded


def past(old: Sequence[OldCustomers]) -> Iterator[bytes]:
    """Yield what old customers paid before the measurement, until ``LONG_AGO``.

    The event of an intent that was made and not yet paid is left out.
    """
    purchases = (
        _purchase(each, number, f"past {turn}", LONG_AGO - turn * _PURCHASES_APART)[1:]
        for each in old
        for turn in range(each.payments, 0, -1)
        for number in range(each.customers)
    )
    return _dated(chain.from_iterable(purchases), LONG_AGO, old)


def _with_old(
    events: Iterator[bytes], old: Sequence[OldCustomers], theirs: Sequence[Iterator[bytes]]
) -> Iterator[bytes]:
    """Yield the events of old customers in their share, and between them the other events."""
    for number in count():
        places = (place for place, each in enumerate(old) if number % each.every == place)
        place = next(places, None)
        yield next(events) if place is None else next(theirs[place])


def _purchases(old: OldCustomers, seed: str, turn: int) -> Iterator[Bodies]:
    """Yield further purchases, of one customer after the other, for ever."""
    began = LONG_AGO + (turn + 1) * _TURNS_APART
    for place in count():
        again, number = divmod(place, old.customers)
        yield _purchase(old, number, f"{seed} {again}", began + again * _NOW_APART)


def _purchase(old: OldCustomers, number: int, seed: str, now: int) -> Bodies:
    """Return the events of one purchase."""
    lifecycle = compose(
        _PURCHASE,
        shape=_SHAPES[number % 2],
        seed=f"{old.payments} {number} {seed}",
        now=now,
        user_id=f"usr_old_{old.payments}_{number}",
    )
    meant = [event.body for event in lifecycle.events if _is_meant(event)]
    made = _customer(meant)
    return [body.replace(made, old.ids[number]) for body in meant]


def _customers(seed: str) -> Iterator[Bodies]:
    plan = TrafficPlan(scenarios=_SCENARIOS, shapes=_SHAPES, seed=seed, now=NOW, count=_ENDLESS)
    for lifecycle in plan.lifecycles():
        yield [event.body for event in lifecycle.events if _is_meant(event)]


def _is_meant(event: Event) -> bool:
    return event.type.startswith(_FAMILIES)


def _with_hot(customers: Iterator[Bodies]) -> Iterator[Bodies]:
    for number, events in enumerate(customers):
        yield (
            events if number % _HOT_EVERY else _hot(events, islice(customers, _HOT_LIFECYCLES - 1))
        )


def _hot(events: Bodies, others: Iterator[Bodies]) -> Bodies:
    """Assign the events of several customers to the first of them."""
    name = _customer(events)
    return events + [body.replace(_customer(other), name) for other in others for body in other]


def _customer(events: Sequence[bytes]) -> bytes:
    found = next(filter(None, map(_CUSTOMER.search, events)))
    return found.group()


def _interleaved(customers: Iterator[Bodies]) -> Iterator[bytes]:
    """Yield the events of some customers at a time, each customer's in order."""
    while together := list(islice(customers, _TOGETHER)):
        for at_once in zip_longest(*together):
            yield from filter(None, at_once)


def _dated(events: Iterator[bytes], began: int, old: Sequence[OldCustomers]) -> Iterator[bytes]:
    """Yield the events with ids that tell when each was first named; old customers keep theirs."""
    known = {name: name for each in old for name in each.ids}
    moment = began

    def renamed(found: re.Match[bytes]) -> bytes:
        if found[0] not in known:
            known[found[0]] = _made_at(moment, found[1], found[2])
        return known[found[0]]

    for number, body in enumerate(events):
        moment = began + number // _IN_ONE_SECOND
        yield _DATED.sub(renamed, body)


def _made_at(moment: int, kind: bytes, tail: bytes) -> bytes:
    if kind == b"cus":
        return b"cus_%s%s" % (_base_62(moment - _CUSTOMERS_FROM), tail)
    return b"%s_%s%s%s" % (kind, _base_62(moment - _FROM), _ACCOUNT, tail)


def _base_62(number: int) -> bytes:
    higher, digit = divmod(number, len(_DIGITS))
    return (_base_62(higher) if higher else b"") + _DIGITS[digit : digit + 1]


def _repeated(events: Iterator[bytes], chance: Random) -> Iterator[bytes]:
    waiting: Bodies = []
    for body in events:
        yield body
        if chance.random() < _AGAIN:
            waiting.append(body)
        if len(waiting) > _SOON * _AGAIN:
            yield waiting.pop(chance.randrange(len(waiting)))
