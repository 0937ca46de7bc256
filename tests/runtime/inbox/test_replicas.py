"""An event is acknowledged only when a replica has it, too: first delivery and redelivery alike."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.exceptions import ReadOnlyError, RedisError

from runtime.inbox.inbox import Inbox
from runtime.inbox.replicas import TooFewReplicas
from runtime.redis_client import make_redis
from runtime.settings import Settings
from tests.redis_failover import RedisPair, redis_pair
from tests.runtime.inbox.entry_builders import Client, claim_and_finish_all, event
from tests.workers.waiting import until

pytestmark = pytest.mark.servers


@pytest.fixture
def pair(servers_folder: Path, redis_binary: Path, tmp_path: Path) -> Iterator[RedisPair]:
    """Yield a primary and its replica."""
    with redis_pair(servers_folder / tmp_path.name, redis_binary) as pair:
        yield pair


@pytest.fixture
def client(pair: RedisPair) -> Iterator[Client]:
    """Connect to the primary."""
    client = make_redis(Settings.from_env({"REDIS_URL": pair.primary.url}))
    yield client
    client.close()


@pytest.fixture
def other(pair: RedisPair) -> Iterator[Inbox]:
    """Use the inbox from another process, whose connection wrote nothing yet."""
    client = make_redis(Settings.from_env({"REDIS_URL": pair.primary.url}))
    yield Inbox(client, replicas=1)
    client.close()


@pytest.fixture
def inbox(client: Client) -> Inbox:
    return Inbox(client, replicas=1)


def deliver(inbox: Inbox, number: int) -> str:
    """Deliver an event until it is acknowledged, as Stripe does; return the status.

    A busy machine may delay the replica beyond the wait for one answer.
    """
    statuses: list[str] = []

    def is_acknowledged() -> bool:
        with suppress(RedisError):
            statuses.append(str(inbox.accept(event(number)).status))
        return bool(statuses)

    until(is_acknowledged, seconds=60, why="the replica has it in time")
    return statuses[0]


def confirmed(inbox: Inbox) -> int:
    """Return how many replicas confirm the last write in time."""
    with suppress(RedisError):
        return inbox.confirm_replicas()
    return 0


def test_an_event_that_the_replica_has_is_accepted(inbox: Inbox, pair: RedisPair) -> None:
    deliver(inbox, 1)
    assert deliver(inbox, 1) == "duplicate"
    until(lambda: confirmed(inbox) == 1, seconds=60, why="the replica answers in time")

    replica = pair.replica.client()
    assert replica.zscore("paidup:index", "evt_1") is not None
    replica.close()


def test_while_the_replica_is_frozen_neither_delivery_nor_redelivery_is_acknowledged(
    inbox: Inbox, other: Inbox, pair: RedisPair
) -> None:
    deliver(inbox, 0)
    pair.replica.freeze()

    for through in (inbox, other, inbox):
        with pytest.raises(TooFewReplicas, match="0 of 1 replicas"):
            through.accept(event(1))
    with pytest.raises(TooFewReplicas):
        inbox.confirm_replicas()

    pair.replica.thaw()
    pair.until_replica_follows()
    assert deliver(inbox, 1) == "duplicate"
    assert claim_and_finish_all(inbox) == ["evt_0", "evt_1"]


def test_a_redelivery_of_a_settled_event_waits_for_the_replica_too(
    inbox: Inbox, other: Inbox, pair: RedisPair
) -> None:
    deliver(inbox, 0)
    claim_and_finish_all(inbox)
    pair.replica.freeze()

    with pytest.raises(TooFewReplicas):
        other.accept(event(0))
    pair.replica.thaw()


def test_a_replica_acknowledges_no_redelivery(inbox: Inbox, pair: RedisPair) -> None:
    """Refuse it even though nothing is written: the server may be an old primary."""
    deliver(inbox, 1)
    pair.until_replica_follows()
    replica = pair.replica.client()

    with pytest.raises(ReadOnlyError):
        Inbox(replica).accept(event(1))
    replica.close()


def test_without_a_replica_no_event_is_acknowledged(client: Client) -> None:
    with pytest.raises(TooFewReplicas, match="1 of 2"):
        Inbox(client, replicas=2).accept(event(1))


def test_a_server_without_waitaof_is_asked_to_wait_for_memory(
    inbox: Inbox, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.inbox.replicas._ON_DISK", "WAITAOF_OF_A_LATER_RELEASE")

    deliver(inbox, 1)
    deliver(inbox, 2)

    assert deliver(inbox, 1) == "duplicate"
    assert inbox.backlog().events == 2


def test_an_answer_is_never_read_by_the_next_command(inbox: Inbox, client: Client) -> None:
    client.script_flush()

    deliver(inbox, 1)
    assert client.ping()
    assert inbox.backlog().events == 1
