"""Redis loses its disk while acknowledged events wait: one command brings all of them back."""

import shutil
from collections.abc import Callable, Iterator

import pytest

from billing.envelope import parse
from ops.up.servers.redis_server import Redis
from tests.ops.ops_env import OpsEnv
from tests.ops.queries.seeded_database import SeededDatabase
from tests.ops.reconcile.stripe_side import BothSides, both_sides, ids

pytestmark = pytest.mark.servers


@pytest.fixture
def sides(
    books: SeededDatabase, own_redis: Redis, deployed: Callable[..., None]
) -> Iterator[BothSides]:
    deployed(DATABASE_URL=books.url, REDIS_URL=own_redis.url)
    client = own_redis.client()
    with both_sides(OpsEnv(books, client)) as sides:
        yield sides
    client.close()


@pytest.mark.parametrize("purchases", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_all_acknowledged_events_come_back_and_are_applied_once(
    sides: BothSides, own_redis: Redis, purchases: int
) -> None:
    books, inbox = sides.floor.books, sides.floor.inbox
    made = [books.compose("onetime", seed=str(each)).events for each in range(purchases)]
    events = [event for each in made for event in each]
    sides.happen(*events)
    answers = {inbox.accept(parse(event.body)).status for event in events}
    assert (answers, inbox.backlog().events) == ({"accepted"}, len(events))

    own_redis.kill()
    shutil.rmtree(own_redis.folder / "appendonlydir")
    own_redis.start()
    assert inbox.backlog().events == 0
    run, _ = sides.reconcile(apply=True)
    again, _ = sides.reconcile(apply=True)

    assert set(sides.states(run)) == ids(events) == set(sides.settled())
    assert set(sides.states(run).values()) == {"repaired"}
    assert sides.differences(again) == {}
    money = "SELECT count(*) || ' ' || sum(amount_minor) FROM payments"
    moved = "SELECT count(*) || ' ' || sum(amount_minor) FROM payment_events"
    assert sides.floor.scalars(money) == sides.floor.scalars(moved)
    assert sides.floor.scalars("SELECT count(*) FROM payments") == [purchases]


def test_what_was_lost_beside_events_that_had_been_settled_comes_back(
    sides: BothSides, own_redis: Redis
) -> None:
    books, inbox = sides.floor.books, sides.floor.inbox
    settled = books.compose("onetime", seed="settled").events
    lost = books.compose("onetime", seed="lost").events
    sides.happen(*settled, *lost)
    sides.floor.take_in(*settled)
    for event in lost:
        inbox.accept(parse(event.body))

    own_redis.kill()
    shutil.rmtree(own_redis.folder / "appendonlydir")
    own_redis.start()
    run, _ = sides.reconcile(apply=True, scheduled=True)

    assert set(sides.states(run)) == ids(lost)
    assert set(sides.states(run).values()) == {"repaired"}
