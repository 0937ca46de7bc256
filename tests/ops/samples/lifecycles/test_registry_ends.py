"""The projection of each lifecycle, in any order of facts, is its expected end."""

import tomllib
from datetime import UTC, datetime
from random import Random

import pytest

from billing.catalogue import read_catalogue
from billing.envelope import parse
from billing.projection.party import project
from billing.readers.registry import read_event
from ops.demo.plans import PLANS
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose, scenarios_in
from tests.lifecycle_money import refunded_minor

NOW = 1_795_300_000
MOMENT = datetime.fromtimestamp(NOW, UTC)
CATALOGUE = read_catalogue(tomllib.loads(PLANS.read_text()))
EVERY_LIFECYCLE = [(name, shape) for shape in Shape for name in scenarios_in(shape)]


@pytest.mark.parametrize(("name", "shape"), EVERY_LIFECYCLE)
def test_a_lifecycle_projects_to_its_end(name: str, shape: Shape) -> None:
    lifecycle = compose(name, shape=shape, seed="end", now=NOW)
    expected = lifecycle.expected
    facts = [fact for event in lifecycle.events for fact in read_event(parse(event.body)).facts]

    end = project(facts, CATALOGUE, MOMENT)

    for seed in range(3):
        mixed = Random(seed).sample(facts, len(facts))  # noqa: S311 - repeatable
        assert project(mixed, CATALOGUE, MOMENT) == end
    assert {
        (row.source, tuple(sorted(row.entitlements.items())))
        for row in end.entitlements.values()
        if row.active
    } == {
        (grant.source, tuple(sorted(grant.features.items())))
        for grant in expected.grants
        if grant.active
    }
    assert {row.payment_ref: row.amount_minor for row in end.payments.values()} == {
        payment.payment_ref: payment.amount_minor for payment in expected.payments
    }
    assert sum(row.amount_refunded_minor for row in end.payments.values()) == (
        refunded_minor(expected)
    )
    assert {row.purchase_ref: row.status for row in end.purchases.values()} == expected.purchases
    assert not end.unknown_prices
    assert not end.waiting
