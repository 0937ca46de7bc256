"""Random worlds in a database: a backfill beside webhooks leaves the rows of all webhooks."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from math import inf
from random import Random
from typing import Any, TypeVar

import pytest
from sqlalchemy import Engine

from billing.ids import Realm
from ops.samples.scenario import Event
from ops.samples.worlds.world import World, draw_plan, play
from runtime.ledger import catalogues
from runtime.ledger.observe import ObservedObject
from runtime.ledger.record import Ledger
from tests.runtime.ledger.delivery_builders import delivery, rows
from tests.runtime.ledger.observation_builders import BY_ADA
from tests.worlds.adapter import catalogue_of
from tests.worlds.backfilled import history_needed, observations_at

pytestmark = pytest.mark.servers

T = TypeVar("T")

WORLDS = [f"backfill/{number}" for number in (5, 7, 30, 57, 60, 85)]
SAME = {
    "access": "SELECT user_id, source, plan_code, realm, entitlements, expires_at"
    " FROM user_entitlements WHERE active AND (expires_at IS NULL OR expires_at > now())",
    "payments": "SELECT realm, payment_ref, user_id, stripe_customer_id, amount_minor,"
    " amount_refunded_minor, currency, status, dispute_status, occurred_at FROM payments",
    "booked": "SELECT realm, payment_ref, user_id, currency, sum(amount_minor)"
    " FROM payment_events GROUP BY 1, 2, 3, 4 HAVING sum(amount_minor) <> 0",
    "purchases": "SELECT realm, purchase_ref, line, user_id, plan_code, price, quantity, status,"
    " ends_at, payment_ref FROM purchases",
    "subscriptions": "SELECT realm, stripe_subscription_id, stripe_customer_id, user_id, status,"
    " prices, current_period_end, cancel_at_period_end FROM subscriptions",
    "customers": "SELECT realm, stripe_customer_id, user_id FROM customers",
}


def same_rows(engine: Engine) -> dict[str, list[Any]]:
    """Return what must not depend on how Paidup learned of it."""
    return {name: sorted(rows(engine, query), key=str) for name, query in SAME.items()}


def ledger_of(engine: Engine, world: World) -> Ledger:
    catalogue = catalogue_of(world.document, world.former)
    with engine.begin() as connection:
        for each in (*reversed(catalogue.former), catalogue):
            catalogues.install(connection, each, actor="test", reason="as the world says")
    connected = [account.connected for account in world.accounts if account.connected]
    return Ledger(engine, livemode="any", accounts=frozenset(connected), deciding_seconds=inf)


def in_parts(every: Sequence[T], random: Random) -> Iterator[Sequence[T]]:
    """Yield everything in parts of random sizes, as batches and pages are."""
    waiting = iter(every)
    while part := list(islice(waiting, random.choice([1, 7, 40, 100]))):
        yield part


def record(ledger: Ledger, events: Sequence[Event]) -> None:
    ledger.record([delivery(event.body) for event in events])


def observe(ledger: Ledger, seen: Sequence[ObservedObject]) -> None:
    ledger.observe(seen, BY_ADA)


@pytest.mark.parametrize("seed", WORLDS)
def test_a_backfill_beside_webhooks_leaves_the_rows_of_all_webhooks(
    engine: Engine, another_engine: Callable[[str], Engine], seed: str
) -> None:
    world, random = play(draw_plan(seed)), Random(seed)  # noqa: S311 - worlds must repeat
    assert not history_needed(world, catalogue_of(world.document, world.former))
    at = max(world.now, *(account.at for account in world.accounts))
    seen = [
        ObservedObject(realm=Realm(account.realm), observation=each)
        for account in world.accounts
        for each in observations_at(account, at)
    ]
    random.shuffle(seen)
    heard = world.events[random.randrange(len(world.events)) :]
    ledger = ledger_of(engine, world)
    steps: list[Callable[[], None]] = [
        *(partial(record, ledger, part) for part in in_parts(heard, random)),
        *(partial(observe, ledger, part) for part in in_parts(seen, random)),
    ]
    random.shuffle(steps)
    twin = another_engine("twin")
    record(ledger_of(twin, world), world.events)

    for step in steps:
        step()

    assert same_rows(engine) == same_rows(twin)
