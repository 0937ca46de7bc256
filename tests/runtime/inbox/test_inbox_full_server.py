"""A full Redis accepts no new event, and all operations that free memory still work."""

from collections.abc import Iterator

import pytest
from redis.exceptions import RedisError

from ops.up.servers.redis_server import Redis
from runtime.inbox.entries import Parked
from runtime.inbox.inbox import Inbox
from runtime.inbox.recent import RecentEvents
from tests.runtime.inbox.entry_builders import (
    PREFIX,
    Client,
    event,
    key_of,
    keys_of,
    let_time_pass,
    one_place_each,
    settled,
)

pytestmark = pytest.mark.servers


@pytest.fixture
def client(own_redis: Redis) -> Iterator[Client]:
    client = own_redis.client()
    yield client
    client.close()


def _fill(client: Client) -> None:
    client.config_set("maxmemory", "1")
    with pytest.raises(RedisError):
        client.set("anything", "more")


def test_a_full_server_refuses_an_event_without_a_trace(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    before = {key: client.dump(key) for key in client.keys(f"{PREFIX}*")}
    _fill(client)

    with pytest.raises(RedisError):
        inbox.accept(event(2))
    with pytest.raises(RedisError):
        inbox.requeue(event(3))

    assert {key: client.dump(key) for key in client.keys(f"{PREFIX}*")} == before


def test_bodies_of_settled_events_give_way_to_new_events_without_a_supervisor(
    inbox: Inbox, client: Client
) -> None:
    recent = RecentEvents(client)
    recent.confirm(recent.survey(), "epoch")
    for number in range(20):
        inbox.accept(event(number, customer=f"cus_{number}", padding=100_000))
    while keys := keys_of(inbox.claim("owner")):
        inbox.finish("owner", settled(keys))
    assert client.hlen(f"{PREFIX}event:body") == 20
    client.config_set("maxmemory", client.info("memory")["used_memory"] - 500_000)
    with pytest.raises(RedisError):
        client.set("anything", "more")

    assert inbox.accept(event(30)).status == "accepted"

    assert client.hkeys(f"{PREFIX}event:body") == [key_of(30).encode()]
    assert client.hget(f"{PREFIX}settled:state", "bytes") == b"0"


def test_a_full_server_still_recognizes_its_events(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    _fill(client)

    assert inbox.accept(event(1)).status == "duplicate"
    assert inbox.backlog().events == 1
    assert inbox.peek(["evt_1"])[0].state == "waiting"


def test_a_full_server_is_drained(inbox: Inbox, client: Client) -> None:
    for number in range(3):
        inbox.accept(event(number, customer=f"cus_{number}"))
    _fill(client)

    claim = inbox.claim("owner")
    assert len(claim.entries) == 3
    assert inbox.heartbeat("owner")
    assert inbox.finish("owner", settled(keys_of(claim))).events == 3

    assert one_place_each(client) == {}
    assert inbox.accept(event(1, customer="cus_1")).result == {"outcome": "applied"}


def test_on_a_full_server_failures_are_stored_and_leases_end(inbox: Inbox, client: Client) -> None:
    for number in range(4):
        inbox.accept(event(number, customer=f"cus_{number}"))
    _fill(client)

    inbox.announce("supervisor", 2)
    inbox.claim("owner", max_events=2)
    park = Parked(key="evt_0", delay_seconds=60, charged=True, error="locked")
    assert inbox.park("owner", [park]) == 1
    assert inbox.release("owner") == 1
    inbox.claim("silent")
    let_time_pass_on_a_full_server(client, 11)
    assert inbox.sweep().reclaimed == 3
    inbox.open_breaker("database away", 30)
    assert inbox.claim("owner").refused
    inbox.close_breaker()
    assert inbox.discard("owner", keys_of(inbox.claim("owner"))).events == 1

    assert all(len(places) == 1 for places in one_place_each(client).values())
    assert inbox.backlog().events == 3


def let_time_pass_on_a_full_server(client: Client, seconds: float) -> None:
    client.config_set("maxmemory", "0")
    let_time_pass(client, seconds)
    client.config_set("maxmemory", "1")
