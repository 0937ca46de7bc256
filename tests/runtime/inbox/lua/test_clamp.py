"""Redis' clock steps back: every time that was written before lies ahead of it by an hour."""

import json

import pytest

from runtime.inbox import inbox as module
from runtime.inbox.entries import Lane, Parked
from runtime.inbox.fetch_lane import FetchLane
from runtime.inbox.inbox import Inbox
from tests.runtime.inbox.entry_builders import (
    PREFIX,
    Client,
    claim_and_finish_all,
    event,
    keys_of,
    let_time_pass,
    one_place_each,
)

pytestmark = pytest.mark.servers

HOUR = 3600
LANES = (Lane.LIVE, Lane.REPLAY)


def _step_back(client: Client, seconds: float = HOUR) -> None:
    """Move all times in Redis ahead, expiries included, which is how a step back looks."""
    let_time_pass(client, -seconds)
    for key in client.scan_iter(f"{PREFIX}*"):
        if (left := client.pttl(key)) > 0:
            client.pexpire(key, int(left + seconds * 1000))
    if noted := client.get(f"{PREFIX}clock"):
        client.set(f"{PREFIX}clock", int(noted) + int(seconds * 1000))


def test_events_accepted_before_the_step_can_be_claimed_after_one_sweep(
    inbox: Inbox, client: Client
) -> None:
    for number in range(3):
        inbox.accept(event(number, customer=f"cus_{number}"))
    inbox.requeue(event(3))
    _step_back(client)
    assert inbox.claim("too early").entries == ()

    swept = inbox.sweep()

    assert (swept.clamped, swept.reclaimed, len(swept.wakes)) == (4, 0, 0)
    let_time_pass(client, 3)
    assert len(inbox.sweep().wakes) == 1
    assert sorted(claim_and_finish_all(inbox, LANES)) == ["evt_0", "evt_1", "evt_2", "evt_3"]
    assert one_place_each(client) == {}


def test_a_wake_up_is_owed_at_once_if_no_drainer_was_registered(
    inbox: Inbox, client: Client
) -> None:
    wake = inbox.accept(event(1)).wake
    inbox.unregister(str(wake))
    _step_back(client)

    assert len(inbox.sweep().wakes) == 1


def test_the_age_of_the_oldest_event_does_not_hide_events_from_the_future(
    inbox: Inbox, client: Client
) -> None:
    inbox.accept(event(1))
    _step_back(client)
    inbox.accept(event(2))

    assert inbox.backlog().oldest_seconds == pytest.approx(HOUR, abs=60)

    inbox.sweep()
    assert inbox.backlog().oldest_seconds < 60


def test_a_lease_ends_as_soon_as_without_the_step(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    inbox.claim("killed")
    _step_back(client)
    inbox.sweep()
    let_time_pass(client, 11)

    assert inbox.sweep().reclaimed == 1


def test_a_claim_that_goes_on_is_kept(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    inbox.claim("owner")
    _step_back(client)

    assert inbox.sweep().reclaimed == 0
    assert inbox.heartbeat("owner")


@pytest.mark.parametrize("accepted_before_seconds", [0, 2 * HOUR])
def test_a_parked_event_waits_for_its_delay_and_not_for_the_step(
    inbox: Inbox, client: Client, accepted_before_seconds: int
) -> None:
    inbox.accept(event(1))
    let_time_pass(client, accepted_before_seconds)
    inbox.sweep()
    inbox.claim("owner")
    inbox.park("owner", [Parked(key="evt_1", delay_seconds=20, charged=True, error="locked")])
    history = client.hget(f"{PREFIX}history", "evt_1")
    _step_back(client)
    _move_failures(client, "evt_1", HOUR)

    assert inbox.sweep().clamped == 1

    assert history != client.hget(f"{PREFIX}history", "evt_1")
    assert inbox.claim("early").entries == ()
    assert inbox.backlog().parked == 1
    let_time_pass(client, 21)
    assert keys_of(inbox.claim("in time")) == ["evt_1"]


def _move_failures(client: Client, key: str, seconds: int) -> None:
    """Move the times in the history of an event ahead."""
    history = json.loads(client.hget(f"{PREFIX}history", key))
    for name in ("first_failed_at", "last_failed_at"):
        history[name] += seconds * 1000
    client.hset(f"{PREFIX}history", key, json.dumps(history))


def test_a_delay_that_no_policy_gives_ends_at_once(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    inbox.claim("owner")
    inbox.park("owner", [Parked(key="evt_1", delay_seconds=20, charged=True, error="locked")])
    _step_back(client)

    inbox.sweep()

    assert keys_of(inbox.claim("next")) == ["evt_1"]


def test_a_parked_event_is_left_alone_while_the_clock_goes_on(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    inbox.claim("owner")
    inbox.park("owner", [Parked(key="evt_1", delay_seconds=600, charged=True, error="locked")])
    before = client.zscore(f"{PREFIX}parked", "evt_1")

    assert inbox.sweep().clamped == 0

    assert client.zscore(f"{PREFIX}parked", "evt_1") == before


def test_an_event_put_back_before_the_step_is_due_although_it_was_accepted_long_before(
    inbox: Inbox, client: Client
) -> None:
    inbox.accept(event(1))
    let_time_pass(client, 2 * HOUR)
    inbox.sweep()
    client.zadd(f"{PREFIX}queue:live|test:cus_1", {"evt_1": _now_ms(client)})
    client.zadd(f"{PREFIX}ready:live", {"test:cus_1": _now_ms(client)})
    _step_back(client)

    inbox.sweep()

    assert keys_of(inbox.claim("owner")) == ["evt_1"]


def _now_ms(client: Client) -> int:
    seconds, micros = client.time()
    return int(seconds * 1000 + micros // 1000)


def test_dead_drainers_and_workers_do_not_count_for_an_hour(inbox: Inbox, client: Client) -> None:
    inbox.announce("dead supervisor", 4)
    inbox.accept(event(1))
    _step_back(client)
    inbox.sweep()
    assert (inbox.backlog().processes, inbox.backlog().drainers) == (4, 1)

    let_time_pass(client, 11)
    inbox.sweep()

    assert (inbox.backlog().processes, inbox.backlog().drainers) == (0, 1)


def test_the_breakers_close_in_the_time_for_which_they_were_opened(
    inbox: Inbox, client: Client
) -> None:
    inbox.open_breaker("database away", 30)
    FetchLane.beside(inbox, at_once=1).pause("slow down", 60)
    _step_back(client)

    inbox.sweep()

    assert client.pttl(f"{PREFIX}breaker") <= 60_000
    assert client.pttl(f"{PREFIX}breaker:fetch") <= 300_000


def test_the_lead_of_a_dead_supervisor_ends(inbox: Inbox, client: Client) -> None:
    assert inbox.lead("dead", 5)
    _step_back(client)

    assert not inbox.lead("next", 5)

    assert client.pttl(f"{PREFIX}sweeper") <= 5_000


def test_a_large_inbox_is_clamped_over_several_sweeps(
    inbox: Inbox, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLAMP_CALLS", 1)
    for number in range(1500):
        inbox.accept(event(number))
    _step_back(client)

    clamped = [inbox.sweep().clamped for _ in range(6)]

    assert sum(clamped) == 1500
    assert 0 < clamped[0] < 1500
    assert clamped[-1] == 0
    assert len(claim_and_finish_all(inbox)) == 1500


def test_a_partition_does_not_rest_for_as_long_as_the_clock_stepped_back(
    inbox: Inbox, client: Client
) -> None:
    inbox.accept(event(1, customer="cus_1"))
    inbox.accept(event(2, customer="cus_1"))
    let_time_pass(client, 2 * HOUR)  # accepted before the time to which the clock steps back
    inbox.claim("owner", max_events=1)
    locked = Parked(key="evt_1", delay_seconds=20, charged=True, error="locked", rest_seconds=20)
    inbox.park("owner", [locked])
    inbox.sweep()
    _step_back(client)

    inbox.sweep()
    let_time_pass(client, 21)

    assert sorted(claim_and_finish_all(inbox, LANES)) == ["evt_1", "evt_2"]


def test_a_partition_is_not_claimed_apart_for_as_long_as_the_clock_stepped_back(
    inbox: Inbox, client: Client
) -> None:
    inbox.accept(event(1))
    inbox.claim("owner")
    inbox.set_apart("owner", ["evt_1"])
    _step_back(client)

    inbox.sweep()

    assert client.zcard(f"{PREFIX}apart") == 0
