"""Compare the inbox with a small model of it.

In any order of calls, deaths and returns of owners, an event is in one place, has one owner, and is
finished once for each time it was accepted.
"""

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from billing.envelope import Envelope
from runtime.inbox.entries import Lane, Parked
from runtime.inbox.inbox import Inbox
from tests.runtime.inbox.entry_builders import (
    PREFIX,
    Client,
    claim_and_finish_all,
    event,
    key_of,
    keys_of,
    let_time_pass,
    one_place_each,
    settled,
)

pytestmark = pytest.mark.servers

NUMBERS = st.integers(0, 11)
OWNERS = st.sampled_from(["ann", "bob", "cyd"])
LANES = st.sampled_from(list(Lane))


def _event(number: int) -> Envelope:
    return event(number, customer=f"cus_{number % 4}")


class InboxMachine(RuleBasedStateMachine):
    def __init__(self, client: Client) -> None:
        super().__init__()
        client.flushall()
        self.client = client
        self.inbox = Inbox(client)
        self.pending: set[str] = set()
        self.done: set[str] = set()
        self.held: dict[str, set[str]] = {}
        self.entered: Counter[str] = Counter()
        self.finished: Counter[str] = Counter()

    @rule(number=NUMBERS)
    def accept(self, number: int) -> None:
        key = key_of(number)
        known = key in self.pending or key in self.done

        accepted = self.inbox.accept(_event(number))

        assert accepted.status == ("duplicate" if known else "accepted")
        assert (accepted.result is not None) == (key in self.done)
        if not known:
            self._enter(key)

    @rule(number=NUMBERS, lane=LANES)
    def requeue(self, number: int, lane: Lane) -> None:
        key = key_of(number)

        accepted = self.inbox.requeue(_event(number), lane=lane)

        assert accepted.status == ("duplicate" if key in self.pending else "accepted")
        if key not in self.pending:
            self._enter(key)

    def _enter(self, key: str) -> None:
        self.pending.add(key)
        self.entered[key] += 1

    @rule(owner=OWNERS, most=st.integers(1, 4), lanes=st.sets(LANES, min_size=1))
    def claim(self, owner: str, most: int, lanes: set[Lane]) -> None:
        self.held.pop(owner, None)

        claim = self.inbox.claim(owner, max_events=most, lanes=sorted(lanes))

        keys = set(keys_of(claim))
        assert len(keys) == len(claim.entries) <= most
        assert keys <= self.pending - self._all_held()
        assert {entry.lane for entry in claim.entries} <= lanes
        if keys:
            self.held[owner] = keys

    def _all_held(self) -> set[str]:
        return set().union(*self.held.values())

    @rule(owner=OWNERS, numbers=st.sets(NUMBERS))
    def finish(self, owner: str, numbers: set[int]) -> None:
        keys = {key_of(number) for number in numbers}

        closed = self.inbox.finish(owner, settled(sorted(keys)))

        gone = self._release(owner, keys)
        assert closed.events == len(gone)
        self.pending -= gone
        self.done |= gone
        self.finished.update(gone)

    def _release(self, owner: str, keys: set[str]) -> set[str]:
        released = self.held.get(owner, set()) & keys
        if owner in self.held:
            self.held[owner] -= released
            if not self.held[owner]:
                del self.held[owner]
        return released

    @rule(owner=OWNERS, numbers=st.sets(NUMBERS), lane=st.none() | LANES)
    def park(self, owner: str, numbers: set[int], lane: Lane | None) -> None:
        keys = {key_of(number) for number in numbers}
        parked = [
            Parked(key=key, delay_seconds=2, charged=True, error="locked", lane=lane)
            for key in sorted(keys)
        ]

        assert self.inbox.park(owner, parked) == len(self._release(owner, keys))

    @rule(owner=OWNERS)
    def release(self, owner: str) -> None:
        assert self.inbox.release(owner) == len(self.held.pop(owner, set()))

    @rule(owner=OWNERS)
    def leave(self, owner: str) -> None:
        self.inbox.leave(owner, hand_on=True)
        self.held.pop(owner, None)

    @rule(owner=OWNERS)
    def heartbeat(self, owner: str) -> None:
        assert self.inbox.heartbeat(owner) == (owner in self.held)

    @rule()
    def time_passes(self) -> None:
        let_time_pass(self.client, 3)

    @precondition(lambda self: self.held)
    @rule()
    def all_leases_end(self) -> None:
        let_time_pass(self.client, 11)
        reclaimed = self.inbox.sweep().reclaimed
        assert reclaimed == len(self._all_held())
        self.held.clear()

    @rule()
    def sweep(self) -> None:
        before, ends = self._clock(), self._leases()
        assert self.inbox.sweep().healed == 0
        left, after = self._leases().keys(), self._clock()

        assert {owner for owner, end in ends.items() if end > after} <= left
        assert not {owner for owner, end in ends.items() if end <= before} & left
        for owner in ends.keys() - left:
            self.held.pop(owner, None)

    def _leases(self) -> dict[str, float]:
        ends = self.client.zrange(f"{PREFIX}claims", 0, -1, withscores=True)
        return {owner.decode(): end for owner, end in ends}

    def _clock(self) -> int:
        seconds, microseconds = self.client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    @invariant()
    def every_event_is_in_one_place(self) -> None:
        places = one_place_each(self.client)
        assert set(places) == self.pending
        assert all(len(found) == 1 for found in places.values()), places

    @invariant()
    def owners_hold_what_they_were_given(self) -> None:
        claimed: dict[str, set[str]] = {}
        for key, (place,) in one_place_each(self.client).items():
            if place.startswith(f"{PREFIX}claim:"):
                claimed.setdefault(place.removeprefix(f"{PREFIX}claim:"), set()).add(key)
        assert claimed == self.held

    @invariant()
    def a_partition_that_has_events_is_held_or_ready(self) -> None:
        held = {place.decode() for place in self.client.hkeys(f"{PREFIX}held")}
        for queue in self.client.scan_iter(f"{PREFIX}queue:*"):
            place = queue.decode().removeprefix(f"{PREFIX}queue:")
            lane, partition = place.split("|", 1)
            ready = self.client.zscore(f"{PREFIX}ready:{lane}", partition)
            head = self.client.zrange(queue, 0, 0, withscores=True)[0][1]
            assert (ready is None) if place in held else (ready == head), place

    @invariant()
    def the_numbers_add_up(self) -> None:
        backlog = self.inbox.backlog()
        assert backlog.events == len(self.pending)
        assert backlog.claimed == len(self._all_held())
        assert sum(backlog.by_lane.values()) == backlog.events

    def teardown(self) -> None:
        let_time_pass(self.client, 1000)
        self.inbox.sweep()
        self.finished.update(claim_and_finish_all(self.inbox, lanes=list(Lane)))
        assert self.finished == self.entered
        assert one_place_each(self.client) == {}
        assert not self.client.exists(*(f"{PREFIX}{name}" for name in _EMPTY_AT_REST))


_EMPTY_AT_REST = (
    *("event:body", "event:meta", "history", "index", "index:replay", "index:fetch"),
    *("held", "claims", "parked", "ready:live", "ready:replay", "ready:fetch"),
)


def test_in_any_order_of_calls_an_event_is_in_one_place_and_finished_once(client: Client) -> None:
    class RedisInboxMachine(InboxMachine):
        def __init__(self) -> None:
            super().__init__(client)

    run_state_machine_as_test(
        RedisInboxMachine,
        settings=settings(
            max_examples=30,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
