"""Build the events of every measurement: whole lifecycles in the API shapes Stripe has sent.

The first mix has subscriptions, renewals, upgrades, one-time purchases and refunds of distinct
customers, fifty of them at a time. It keeps the events of checkouts, subscriptions, invoices,
payment intents, charges and refunds: 4.2 kB on average, nine of ten between 1.8 and 6.2. In the
second mix a fifth of the deliveries are repetitions soon after the first, and one customer in fifty
is hot, with ten times as many events.

Stripe's ids are not random: they begin with the second they were made in, in base 62. The event
that was ``created`` at 1566204936 is ``evt_1F96eK...``, one of 1677833999 ``evt_1MhUT7...``. The
mixes do the same, so that indexes are written at their end and not all over.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest
from random import Random
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Final

from ops.samples.api_shapes import Shape
from ops.samples.scenario import Event
from ops.send.traffic import TrafficPlan

Bodies = list[bytes]

NOW: Final = 1_790_000_000
"""The time of the lifecycles' ends; fixed, so that every run sends the same bytes."""

LONG_AGO: Final = NOW - 30 * 86400

_SCENARIOS: Final = ("first_paid", "renewal", "onetime", "refund_full", "upgrade")
_FAMILIES: Final = (
    "checkout.session.",
    "customer.subscription.",
    "invoice.",
    "payment_intent.",
    "charge.",
    "refund.",
)
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


def first(count: int, seed: str, *, began: int = NOW) -> Bodies:
    """Return distinct events of distinct customers, with ids made from ``began`` on."""
    return list(islice(_dated(_interleaved(_customers(seed)), began), count))


def second(count: int, seed: str) -> Bodies:
    """Return deliveries, a fifth of them repetitions, with some hot customers."""
    distinct = _dated(_interleaved(_with_hot(_customers(seed))), NOW)
    return list(islice(_repeated(distinct, Random(seed)), count))  # noqa: S311 - seeded


def _customers(seed: str) -> Iterator[Bodies]:
    shapes = (Shape.OLD, Shape.NEW)
    plan = TrafficPlan(scenarios=_SCENARIOS, shapes=shapes, seed=seed, now=NOW, count=_ENDLESS)
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


def _dated(events: Iterator[bytes], began: int) -> Iterator[bytes]:
    """Yield the events with ids that tell when each was first named."""
    known: dict[bytes, bytes] = {}
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
