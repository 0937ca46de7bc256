"""A reader who follows the changes from the first one ends with the entitlements of record."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose, scenarios_in
from runtime.changes.feed import EntitlementChange
from runtime.changes.numbering import number_waiting
from runtime.ledger.deliveries import Delivery
from runtime.ledger.record import Ledger
from tests.runtime.changes.change_builders import read
from tests.runtime.ledger.delivery_builders import NOW, deliveries, rows

pytestmark = pytest.mark.servers

FEW_USERS = 5


def batches(seed: str) -> Iterator[list[Delivery]]:
    """Yield every lifecycle, by a few users, shuffled, with some events twice."""
    sent = [
        each
        for shape in Shape
        for index, name in enumerate(scenarios_in(shape))
        for each in deliveries(
            compose(name, shape=shape, seed=seed, now=NOW, user_id=f"usr_{index % FEW_USERS}")
        )
    ]
    sent += sent[::5]
    Random(seed).shuffle(sent)  # noqa: S311 - a test that can be repeated
    for begin in range(0, len(sent), 7):
        yield sent[begin : begin + 7]


def followed(changes: list[EntitlementChange]) -> dict[tuple[str, ...], Any]:
    """Apply each change in turn, once or twice, and return the resulting entitlements."""
    held: dict[tuple[str, ...], Any] = {}
    for change in [each for pair in zip(changes, changes, strict=True) for each in pair]:
        if change.before:
            held.pop(_key(change.before), None)
        if change.after and change.change != "revoked":
            held[_key(change.after)] = change.after["entitlements"]
    return held


def _key(row: Any) -> tuple[str, ...]:
    return (row["user_id"], row["source"], row["plan_code"], row["realm"])


def in_force(engine: Engine) -> dict[tuple[str, ...], Any]:
    found = rows(
        engine,
        "SELECT user_id, source, plan_code, realm, entitlements FROM user_entitlements"
        " WHERE active",
    )
    return {tuple(row[:4]): row[4] for row in found}


@pytest.mark.parametrize("seed", ["one", "two"])
def test_following_every_change_ends_in_the_entitlements_of_record(
    ledger: Ledger, engine: Engine, seed: str
) -> None:
    done = Event()

    def number_until_done() -> None:
        while not done.is_set():
            number_waiting(engine)

    with ThreadPoolExecutor(4) as pool:
        numbering = pool.submit(number_until_done)
        for recorded in [pool.submit(ledger.record, batch) for batch in batches(seed)]:
            recorded.result()
        done.set()
        numbering.result()
    number_waiting(engine)
    changes = read(engine)

    assert [each.cursor for each in changes] == list(range(1, len(changes) + 1))
    assert len(changes) == len(set(_audited(engine))) > 40
    assert followed(changes) == in_force(engine)


def _audited(engine: Engine) -> list[int]:
    return rows(engine, "SELECT id FROM audit_logs WHERE action LIKE 'entitlement.%'")
