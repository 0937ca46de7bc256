"""The events that everything is measured on: whole lifecycles in the shapes Stripe has sent.

The first mix: subscriptions, renewals, upgrades, one-time purchases and refunds of distinct
customers, fifty of them at a time; of their events those of checkouts, subscriptions, invoices,
payment intents, charges and refunds: 4.2 kB on average, nine of ten between 1.8 and 6.2. In the
second a fifth of the deliveries are repetitions soon after the first, and one customer in fifty
is hot, with ten times as many events.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest
from random import Random
from typing import Final

from ops.samples.shapes import Shape
from ops.samples.story import Event
from ops.samples.traffic import Traffic

Bodies = list[bytes]

NOW: Final = 1_790_000_000
"""When the stories end; fixed, so that every run sends the same bytes."""

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


def first(count: int, seed: str) -> Bodies:
    """So many distinct events of distinct customers."""
    return list(islice(_interleaved(_customers(seed)), count))


def second(count: int, seed: str) -> Bodies:
    """So many deliveries, a fifth of them repetitions, some customers hot."""
    distinct = _interleaved(_with_hot(_customers(seed)))
    return list(islice(_repeated(distinct, Random(seed)), count))  # noqa: S311 - can be had again


def _customers(seed: str) -> Iterator[Bodies]:
    shapes = (Shape.OLD, Shape.NEW)
    plan = Traffic(scenarios=_SCENARIOS, shapes=shapes, seed=seed, now=NOW, count=_ENDLESS)
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
    """What several customers did, done by the first of them."""
    name = _customer(events)
    return events + [body.replace(_customer(other), name) for other in others for body in other]


def _customer(events: Sequence[bytes]) -> bytes:
    found = next(filter(None, map(_CUSTOMER.search, events)))
    return found.group()


def _interleaved(customers: Iterator[Bodies]) -> Iterator[bytes]:
    """The events of some customers at a time, each customer's in order."""
    while together := list(islice(customers, _TOGETHER)):
        for at_once in zip_longest(*together):
            yield from filter(None, at_once)


def _repeated(events: Iterator[bytes], chance: Random) -> Iterator[bytes]:
    waiting: Bodies = []
    for body in events:
        yield body
        if chance.random() < _AGAIN:
            waiting.append(body)
        if len(waiting) > _SOON * _AGAIN:
            yield waiting.pop(chance.randrange(len(waiting)))
