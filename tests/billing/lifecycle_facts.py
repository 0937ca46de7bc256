"""The sample lifecycles as facts: told by Stripe's own events, read by our own readers."""

import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

import ops
from billing.catalogue import read_catalogue
from billing.envelope import parse
from billing.facts import Fact, Kind
from billing.ids import EventId
from billing.readers.registry import read
from billing.rows import Projection
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.expected import Expected
from ops.samples.lifecycles.registry import SCENARIOS, scenarios_in
from ops.samples.scenario import Event, Pen, Story
from tests.billing.fact_builders import START

SHOP = read_catalogue(tomllib.loads((Path(ops.__path__[0]) / "demo" / "demo.toml").read_text()))
NOW = int(START.timestamp())


class NumberedPen(Pen):
    """A pen that counts, so that one story has the same ids in every shape."""

    def __init__(self, shape: Shape, mark: str = "") -> None:
        super().__init__(shape, mark)
        self._mark = mark
        self._counts: Counter[str] = Counter()

    def id(self, prefix: str, length: int = 24) -> str:  # noqa: ARG002 - as long as its number
        """The next number of this prefix, long enough to be cut off."""
        self._counts[prefix] += 1
        return f"{prefix}_{self._mark}{self._counts[prefix]:012}"


@cache
def tell(name: str, shape: Shape, mark: str = "", user: str = "usr_1") -> tuple[Story, Expected]:
    """A lifecycle that ends at ``START``."""
    story = Story(NumberedPen(shape, mark), user_id=user)
    return story, SCENARIOS[name](story, NOW)


@cache
def facts_of(name: str, shape: Shape, mark: str = "", user: str = "usr_1") -> tuple[Fact, ...]:
    """Everything a lifecycle states, in the order in which it happened."""
    story, _ = tell(name, shape, mark, user)
    return tuple(fact for event in story.events for fact in stated_by(event))


def stated_by(event: Event) -> tuple[Fact, ...]:
    """What one event of a story states."""
    return read(parse(event.body)).facts


LIFECYCLES = [(name, shape) for shape in Shape for name in scenarios_in(shape)]
ANY_LIFECYCLE = st.sampled_from(LIFECYCLES)


def ending(projection: Projection) -> dict[str, Any]:
    """What a projection comes to, in the terms in which a lifecycle says how it must end."""
    return {
        "grants": {
            (row.user_id, row.source, row.plan_code): (row.active, dict(row.entitlements))
            for row in projection.entitlements.values()
        },
        "payments": {
            row.payment_ref: (
                row.user_id,
                row.amount_minor,
                row.amount_refunded_minor,
                row.currency,
                row.status,
                row.dispute_status,
            )
            for row in projection.payments.values()
        },
        "subscriptions": {
            row.stripe_subscription_id: row.status for row in projection.subscriptions.values()
        },
        "purchases": {row.purchase_ref: row.status for row in projection.purchases.values()},
    }


def expected_ending(expected: Expected) -> dict[str, Any]:
    """The same of what a lifecycle says itself."""
    user = expected.user_id
    return {
        "grants": {
            (user, grant.source, grant.plan_code or "stripe"): (grant.active, dict(grant.features))
            for grant in expected.grants
        },
        "payments": {
            payment.payment_ref: (
                user,
                payment.amount_minor,
                payment.amount_refunded_minor,
                payment.currency,
                payment.status,
                payment.dispute_status,
            )
            for payment in expected.payments
        },
        "subscriptions": dict(expected.subscriptions),
        "purchases": dict(expected.purchases),
    }


def renamed(facts: Iterable[Fact], *, without: Kind) -> list[Fact]:
    """Facts of other kinds under event ids that follow from what each event is about.

    Shapes differ in how many events there are, so the ids they were told under differ as well.
    """
    seen: Counter[str] = Counter()
    told: dict[str, EventId] = {}
    kept = []
    for fact in facts:
        if fact.kind is without:
            continue
        if fact.event_id not in told:
            about = f"{fact.event_type}/{fact.object_key}"
            seen[about] += 1
            told[fact.event_id] = EventId(f"evt/{about}/{seen[about]}")
        kept.append(replace(fact, event_id=told[fact.event_id]))
    return kept
