"""The sample lifecycles as facts: Stripe's own events, read by Paidup's readers."""

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
from billing.readers.registry import read_event
from billing.rows import Projection
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.expected import Expected
from ops.samples.lifecycles.registry import Lifecycle, play, scenarios_in, seconds_of
from ops.samples.scenario import Event
from ops.samples.worlds.account import StripeAccount
from ops.samples.worlds.releases import ApiRelease
from tests.billing.fact_builders import START

SHOP = read_catalogue(tomllib.loads((Path(ops.__path__[0]) / "demo" / "demo.toml").read_text()))
NOW = int(START.timestamp())


class NumberedAccount(StripeAccount):
    """An account that counts, so that one lifecycle has the same ids in every shape."""

    def __init__(self, name: str, shape: Shape, mark: str = "") -> None:
        at = NOW - seconds_of(name, shape)
        super().__init__(release=ApiRelease(shape.api_version), at=at)
        self._mark = mark
        self._counts: Counter[str] = Counter()

    def id(self, prefix: str, length: int = 24) -> str:  # noqa: ARG002 - as long as its number
        """Return the next number of this prefix, long enough to be cut off."""
        self._counts[prefix] += 1
        return f"{prefix}_{self._mark}{self._counts[prefix]:012}"


@cache
def play_lifecycle(name: str, shape: Shape, mark: str = "", user: str = "usr_1") -> Lifecycle:
    """Return a lifecycle that ends at ``START``."""
    account = NumberedAccount(name, shape, mark)
    return play(name, account, shape=shape, seed=mark, user_id=user)


@cache
def facts_of(name: str, shape: Shape, mark: str = "", user: str = "usr_1") -> tuple[Fact, ...]:
    """Return every fact of a lifecycle, in the order of its events."""
    events = play_lifecycle(name, shape, mark, user).events
    return tuple(fact for event in events for fact in facts_of_event(event))


def facts_of_event(event: Event) -> tuple[Fact, ...]:
    """Return the facts of one event of a lifecycle."""
    return read_event(parse(event.body)).facts


LIFECYCLES = [(name, shape) for shape in Shape for name in scenarios_in(shape)]
ANY_LIFECYCLE = st.sampled_from(LIFECYCLES)


def ending(projection: Projection) -> dict[str, Any]:
    """Return the end of a projection, in the terms in which lifecycles state theirs."""
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
    """Return the end that a lifecycle states."""
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
    """Return facts of other kinds under event ids that follow from each event's subject.

    Shapes differ in their number of events, so the ids of equal facts differ as well.
    """
    counts: Counter[str] = Counter()
    renamed_ids: dict[str, EventId] = {}
    kept = []
    for fact in facts:
        if fact.kind is without:
            continue
        if fact.event_id not in renamed_ids:
            about = f"{fact.event_type}/{fact.object_key}"
            counts[about] += 1
            renamed_ids[fact.event_id] = EventId(f"evt/{about}/{counts[about]}")
        kept.append(replace(fact, event_id=renamed_ids[fact.event_id]))
    return kept
