"""Whoever follows the changes from the first one ends where the books are."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Event
from typing import Any

import pytest
import redis
from sqlalchemy import Engine

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose, scenarios_in
from runtime.changes.feed import Change
from runtime.changes.relay import Relay
from runtime.ledger.deliveries import Delivery
from runtime.ledger.record import Ledger
from tests.runtime.changes.change_builders import read, streamed
from tests.runtime.ledger.delivery_builders import NOW, deliveries, rows

pytestmark = pytest.mark.servers

FEW_USERS = 5


def batches(seed: str) -> Iterator[list[Delivery]]:
    """Every lifecycle of a few users who do many things, shuffled, some of it twice."""
    told = [
        each
        for shape in Shape
        for index, name in enumerate(scenarios_in(shape))
        for each in deliveries(
            compose(name, shape=shape, seed=seed, now=NOW, user_id=f"usr_{index % FEW_USERS}")
        )
    ]
    told += told[::5]
    Random(seed).shuffle(told)  # noqa: S311 - a test that can be repeated
    for begin in range(0, len(told), 7):
        yield told[begin : begin + 7]


def followed(changes: list[Change]) -> dict[tuple[str, ...], Any]:
    """What a reader holds who obeys each change in turn, once or twice."""
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
    ledger: Ledger, engine: Engine, relay: Relay, client: redis.Redis, seed: str
) -> None:
    done = Event()

    def publish() -> None:
        while not done.is_set():
            relay.round()

    with ThreadPoolExecutor(4) as pool:
        relaying = pool.submit(publish)
        for recorded in [pool.submit(ledger.record, batch) for batch in batches(seed)]:
            recorded.result()
        done.set()
        relaying.result()
    relay.round()
    changes = read(engine)

    assert [each.cursor for each in changes] == list(range(1, len(changes) + 1))
    assert len(changes) == len(set(_audited(engine))) > 40
    assert followed(changes) == in_force(engine)
    kept = streamed(client)
    assert kept == [(each.cursor, each.user_id) for each in changes[-len(kept) :]]


def _audited(engine: Engine) -> list[int]:
    return rows(engine, "SELECT id FROM audit_logs WHERE action LIKE 'entitlement.%'")
