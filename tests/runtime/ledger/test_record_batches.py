"""Every cut into batches and every order of events ends the same."""

from collections.abc import Callable
from random import Random

import pytest
from sqlalchemy import Engine

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose, scenarios_in
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.deliveries import Delivery
from runtime.ledger.maintenance.reproject import reproject
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import NOW, contents, deliveries, rows, unbalanced

pytestmark = pytest.mark.servers

HISTORY = ("audit_logs", "payment_events", "stripe_events", "memberships", "user_versions")


def everything(seed: str) -> list[Delivery]:
    """Return all samples of two shapes, interleaved at random."""
    batch = [
        each
        for shape in (Shape.OLD, Shape.NEW)
        for name in scenarios_in(shape)
        for each in deliveries(compose(name, shape=shape, seed=seed, now=NOW))
    ]
    Random(seed).shuffle(batch)  # noqa: S311 - a test that can be repeated
    return batch


def record_in(engine: Engine, batch: list[Delivery], size: int) -> None:
    ledger = ledger_on(engine)
    for begin in range(0, len(batch), size):
        ledger.record(batch[begin : begin + size])


@pytest.mark.parametrize("size", [7, 100, 1000])
def test_a_batch_of_any_size_writes_the_rows_of_batches_of_one(
    engine: Engine, another_engine: Callable[[str], Engine], size: int
) -> None:
    batch = everything(f"size {size}")
    together = another_engine("together")

    record_in(engine, batch, 1)
    record_in(together, batch, size)

    assert contents(together) == contents(engine)
    assert unbalanced(together) == []


def test_any_order_and_any_repetition_ends_in_the_same_rows(
    engine: Engine, another_engine: Callable[[str], Engine]
) -> None:
    batch = everything("order")
    shuffled = batch + batch[::3]
    Random("another").shuffle(shuffled)  # noqa: S311 - a test that can be repeated
    other = another_engine("other_order")

    record_in(engine, batch, 10)
    record_in(other, shuffled, 10)

    assert contents(other, without=HISTORY) == contents(engine, without=HISTORY)
    assert unbalanced(other) == []


def test_projecting_again_changes_nothing(engine: Engine) -> None:
    record_in(engine, everything("again"), 50)
    before = contents(engine)
    parties = rows(engine, "SELECT party FROM parties ORDER BY party")

    assert reproject(engine, CatalogueCache(), parties, actor="test", reason="rebuild") == len(
        parties
    )

    assert contents(engine) == before


def test_every_row_names_a_party_that_exists(engine: Engine) -> None:
    record_in(engine, everything("parties"), 10)

    for table in ("memberships", "facts", "customers", "payments", "user_entitlements"):
        query = f"SELECT count(*) FROM {table} WHERE party NOT IN (SELECT party FROM parties)"  # noqa: S608
        assert rows(engine, query) == [0], table
