"""Properties that hold for every lifecycle, in every shape and order of arrival."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import fields as members_of
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.catalogue import Catalogue
from billing.facts import (
    ChargeFields,
    CheckoutSessionFields,
    Fact,
    Fields,
    InvoiceFields,
    Kind,
    PaymentIntentFields,
    SubscriptionFields,
)
from billing.families import FAMILIES
from billing.projection.party import PartyFacts, project
from billing.readers.reader import EventEffect
from billing.readers.registry import EVENT_TYPES
from billing.rows import Projection
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import scenarios_in
from tests.billing.fact_builders import CATALOGUE, START
from tests.billing.fact_worlds import HISTORIES
from tests.billing.lifecycle_facts import (
    ANY_LIFECYCLE,
    LIFECYCLES,
    SHOP,
    ending,
    expected_ending,
    facts_of,
    play_lifecycle,
    renamed,
)
from tests.lifecycle_money import paid_minor, refunded_minor

WRITTEN_IN_BOTH = [name for name in scenarios_in(Shape.NEW) if name in scenarios_in(Shape.OLD)]
MAKES_LINKS = {"invoice", "payment_refs", "order_reference"}
RANDOMS = st.randoms(use_true_random=False)


def now(facts: Iterable[Fact], catalogue: Catalogue = SHOP) -> Projection:
    return project(facts, catalogue, START)


@pytest.mark.parametrize(("name", "shape"), LIFECYCLES)
def test_a_lifecycle_ends_as_it_says(name: str, shape: Shape) -> None:
    expected = play_lifecycle(name, shape).expected

    projection = now(facts_of(name, shape))

    assert ending(projection) == expected_ending(expected)
    assert not projection.waiting
    assert not projection.unknown_prices
    assert not projection.undecided


@given(ANY_LIFECYCLE, RANDOMS)
def test_every_order_and_repetition_converges_to_the_state_in_order(
    lifecycle: tuple[str, Shape], chance: Random
) -> None:
    facts = facts_of(*lifecycle)
    repeated = [fact for fact in facts for _ in range(chance.randint(1, 3))]
    chance.shuffle(repeated)

    assert now(repeated) == now(facts)


@given(st.lists(ANY_LIFECYCLE, min_size=2, max_size=3), RANDOMS)
def test_lifecycles_of_one_user_stand_side_by_side(
    lifecycles: list[tuple[str, Shape]], chance: Random
) -> None:
    played = [(name, shape, f"{n}x") for n, (name, shape) in enumerate(lifecycles)]
    facts = [fact for each in played for fact in facts_of(*each)]
    chance.shuffle(facts)
    together: dict[str, Any] = {}
    for each in played:
        for part, rows in expected_ending(play_lifecycle(*each).expected).items():
            together.setdefault(part, {}).update(rows)

    assert ending(now(facts)) == together


@given(ANY_LIFECYCLE, RANDOMS)
def test_projecting_is_idempotent(lifecycle: tuple[str, Shape], chance: Random) -> None:
    facts = facts_of(*lifecycle)
    party = PartyFacts(facts)
    once = party.project(SHOP, START)

    party.add(chance.sample(facts, len(facts)))
    for event_id in {fact.event_id for fact in facts}:
        party.replace(event_id, [fact for fact in facts if fact.event_id == event_id])

    assert party.project(SHOP, START) == once


@given(ANY_LIFECYCLE, RANDOMS)
def test_money_is_conserved_at_every_moment_of_every_order(
    lifecycle: tuple[str, Shape], chance: Random
) -> None:
    """Count no payment twice while only some of its objects have arrived."""
    facts, expected = facts_of(*lifecycle), play_lifecycle(*lifecycle).expected
    party = PartyFacts()
    for fact in chance.sample(facts, len(facts)):
        party.add([fact])
        rows = party.project(SHOP, START).payments.values()
        assert sum(row.amount_minor for row in rows) <= paid_minor(expected)
        assert sum(row.amount_refunded_minor for row in rows) <= refunded_minor(expected)

    assert sum(row.amount_minor for row in rows) == paid_minor(expected)
    assert sum(row.amount_refunded_minor for row in rows) == refunded_minor(expected)


@pytest.mark.parametrize("name", WRITTEN_IN_BOTH)
def test_an_event_of_another_shape_states_equal_facts_up_to_links(name: str) -> None:
    """Compare shapes: basil moved fields and dropped links, and changed no object's own values."""
    old, new = (
        {_without_links(fact) for fact in renamed(facts, without=Kind.INVOICE_PAYMENT)}
        for facts in (facts_of(name, Shape.OLD), facts_of(name, Shape.NEW))
    )

    # An endpoint of an old version hears of a new refund from its charge alone.
    assert old == {each for each in new if each[1] != "refund.created"}


def _without_links(fact: Fact) -> tuple[object, ...]:
    about = (fact.event_id, fact.event_type, fact.object_key, fact.created_at, fact.rank)
    return (*about, _unlinked(fact.fields), _unlinked(fact.before))


def _unlinked(fields: Fields | None) -> tuple[object, ...]:
    if fields is None:
        return ()
    names = [member.name for member in members_of(fields) if member.name not in MAKES_LINKS]
    return tuple((name, getattr(fields, name)) for name in names)


@pytest.mark.parametrize("name", WRITTEN_IN_BOTH)
def test_a_lifecycle_of_another_shape_ends_in_equal_rows(name: str) -> None:
    old, new = (now(facts_of(name, shape)) for shape in (Shape.OLD, Shape.NEW))

    assert ending(old) == ending(new)
    assert old.payments == new.payments
    assert old.purchases == new.purchases
    assert old.subscriptions == new.subscriptions
    assert old.customers == new.customers
    assert {row.key: row.expires_at for row in old.entitlements.values()} == {
        row.key: row.expires_at for row in new.entitlements.values()
    }


@given(ANY_LIFECYCLE, st.text(max_size=9))
def test_unknown_statuses_never_grant(lifecycle: tuple[str, Shape], word: str) -> None:
    strange = [
        replace(fact, fields=_strange(fact.fields, f"new_{word}")) for fact in facts_of(*lifecycle)
    ]

    rows = now(strange).entitlements.values()

    assert not [row for row in rows if row.active and row.plan_code != "stripe"]


def _strange(fields: Fields, word: str) -> Fields:
    if isinstance(fields, CheckoutSessionFields):
        return replace(fields, payment_status=word)
    if isinstance(fields, SubscriptionFields | PaymentIntentFields | ChargeFields | InvoiceFields):
        return replace(fields, status=word)
    return fields


@given(HISTORIES)
def test_events_without_effect_on_money_move_none(facts: list[Fact]) -> None:
    """Take the families without effect on money from the page of event types."""
    paying = {
        event_type.reader.kind
        for event_type in EVENT_TYPES.values()
        if event_type.effect in (EventEffect.MONEY, EventEffect.BOTH)
    }

    everything = project(facts, CATALOGUE, START)
    less = project([fact for fact in facts if fact.kind in paying], CATALOGUE, START)

    assert _sums(everything) == _sums(less)


def _sums(projection: Projection) -> dict[str, tuple[str, int, int]]:
    rows = projection.payments.values()
    return {r.payment_ref: (r.currency, r.amount_minor, r.amount_refunded_minor) for r in rows}


def test_every_family_with_facts_occurs_in_some_lifecycle() -> None:
    kinds = Counter(fact.kind for each in LIFECYCLES for fact in facts_of(*each))

    assert set(kinds) == set(FAMILIES) - {Kind.CREDIT_NOTE}
