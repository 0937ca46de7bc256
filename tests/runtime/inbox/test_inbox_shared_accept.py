"""Several events in one call of the accept script, on a real Redis: each has its own answer."""

import threading
from collections.abc import Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any

import pytest
import redis
from redis.exceptions import OutOfMemoryError, RedisError

from billing.envelope import Envelope
from ops.up.servers.redis_server import Redis
from runtime.inbox import shared_accept
from runtime.inbox.encoding import write_header
from runtime.inbox.entries import Accepted, InboxFull
from runtime.inbox.inbox import Inbox
from runtime.inbox.replicas import TooFewReplicas
from runtime.inbox.scripts import Scripts
from tests.runtime.inbox.entry_builders import (
    PREFIX,
    Client,
    claim_and_finish_all,
    event,
    key_of,
    keys_of,
    one_place_each,
)
from tests.workers.waiting import until

pytestmark = pytest.mark.servers

FOREVER = 600.0
FIRST = event(0, customer="cus_first")


@pytest.fixture
def full_client(own_redis: Redis) -> Iterator[Client]:
    """Connect to a Redis that a test may fill."""
    with closing(own_redis.client()) as client:
        yield client


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody lose patience, so that all events share the second call."""
    monkeypatch.setattr(shared_accept, "ACCEPT_TURN_SECONDS", FOREVER)
    monkeypatch.setattr(shared_accept, "ACCEPT_ANSWER_SECONDS", 2 * FOREVER)


class HeldScripts(Scripts):
    """Scripts whose first call is held until it may go."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client, PREFIX)
        self.may_go = threading.Event()
        self.accepts = 0

    def run(self, name: str, *arguments: Any) -> Any:
        self._hold(name)
        return super().run(name, *arguments)

    def run_on_replicas(self, wait: Any, name: str, *arguments: Any) -> Any:
        self._hold(name)
        return super().run_on_replicas(wait, name, *arguments)

    def _hold(self, name: str) -> None:
        if name == "accept":
            self.accepts += 1
            if self.accepts == 1:
                assert self.may_go.wait(FOREVER)


def accept_together(inbox: Inbox, envelopes: Sequence[Envelope]) -> list[Accepted | Exception]:
    """Accept ``FIRST``, and during its call the others, in order; return what became of these."""
    scripts = inbox._scripts = HeldScripts(inbox.client)
    line = inbox._shared._line
    with ThreadPoolExecutor(len(envelopes) + 1) as pool:
        try:
            pool.submit(inbox.accept, FIRST)
            until(lambda: scripts.accepts == 1)
            futures = []
            for envelope in envelopes:
                stand = len(line)
                futures.append(pool.submit(inbox.accept, envelope))
                until(partial(_is_longer, line, stand))
        finally:
            scripts.may_go.set()
        return [_outcome(each.exception() or each.result()) for each in futures]


def _is_longer(line: Sized, than: int) -> bool:
    return len(line) > than


def _outcome(outcome: Accepted | BaseException) -> Accepted | Exception:
    assert isinstance(outcome, Accepted | Exception)
    return outcome


def statuses(outcomes: Sequence[Accepted | Exception]) -> list[str]:
    return [each.status if isinstance(each, Accepted) else type(each).__name__ for each in outcomes]


def test_events_of_different_customers_share_a_call_and_each_is_in_its_own_queue(
    inbox: Inbox, client: Client
) -> None:
    outcomes = accept_together(inbox, [event(n, customer=f"cus_{n}") for n in range(1, 6)])

    assert statuses(outcomes) == ["accepted"] * 5
    assert inbox.backlog().counters["accepted"] == 6
    queues = {key_of(n): [f"{PREFIX}queue:live|{partition_of(n)}"] for n in range(1, 6)}
    assert one_place_each(client).items() >= queues.items()
    assert sorted(keys_of(inbox.claim("owner"))) == [key_of(n) for n in range(6)]


def partition_of(number: int) -> str:
    return event(number, customer=f"cus_{number}").partition


def test_the_call_is_one_however_many_share_it(inbox: Inbox) -> None:
    accept_together(inbox, [event(n) for n in range(1, 20)])

    assert isinstance(inbox._scripts, HeldScripts)
    assert inbox._scripts.accepts == 2


def test_an_event_twice_in_one_call_is_accepted_once(inbox: Inbox, client: Client) -> None:
    outcomes = accept_together(inbox, [event(1), event(2), event(1), event(1)])

    assert statuses(outcomes) == ["accepted", "accepted", "duplicate", "duplicate"]
    assert sorted(one_place_each(client)) == ["evt_0", "evt_1", "evt_2"]


def test_two_events_of_one_id_in_one_call_are_a_conflict(inbox: Inbox) -> None:
    other = event(1, kind="customer.subscription.deleted")

    outcomes = accept_together(inbox, [event(1), other])

    assert statuses(outcomes) == ["accepted", "conflict"]
    assert inbox.conflicts() == [f"evt_1#{other.fingerprint}"]


def test_a_settled_event_has_its_result_beside_new_ones(inbox: Inbox) -> None:
    inbox.accept(event(1))
    claim_and_finish_all(inbox)

    new, known = accept_together(inbox, [event(2), event(1)])

    assert isinstance(known, Accepted)
    assert (known.status, known.result) == ("duplicate", {"outcome": "applied"})
    assert statuses([new]) == ["accepted"]


def test_the_inbox_becomes_full_within_a_call(client: Client) -> None:
    inbox = Inbox(client, limit=3)

    outcomes = accept_together(inbox, [event(1), event(2), event(3), event(1), event(4)])

    assert statuses(outcomes) == ["accepted", "accepted", "InboxFull", "duplicate", "InboxFull"]
    assert inbox.backlog().events == 3
    assert isinstance(outcomes[2], InboxFull)


def test_a_call_without_memory_refuses_new_events_only(full_client: Client) -> None:
    inbox = Inbox(full_client)
    for known in (FIRST, event(1)):
        inbox.accept(known)
    full_client.config_set("maxmemory", "1")

    outcomes = accept_together(inbox, [event(1), event(2), event(1), event(3)])

    assert statuses(outcomes) == ["duplicate", "OutOfMemoryError", "duplicate", "OutOfMemoryError"]
    assert sorted(one_place_each(full_client)) == ["evt_0", "evt_1"]
    assert sorted(full_client.hkeys(f"{PREFIX}event:body")) == [b"evt_0", b"evt_1"]
    assert isinstance(outcomes[1], OutOfMemoryError)


def test_a_call_owes_one_wake_up_which_a_new_event_has(inbox: Inbox) -> None:
    wake = inbox.accept(FIRST).wake
    assert wake is not None
    inbox.unregister(wake)

    outcomes = accept_together(inbox, [FIRST, event(1), event(2, customer="cus_2")])

    wakes = [each.wake for each in outcomes if isinstance(each, Accepted)]
    assert [wake is not None for wake in wakes] == [False, True, False]
    assert inbox.claim("owner", wake=wakes[1]).entries
    assert inbox.backlog().drainers == 1


def test_a_loss_that_a_call_shows_is_reported_by_one_event(inbox: Inbox, client: Client) -> None:
    for number in range(5):
        inbox.accept(event(number))
    client.hset(f"{PREFIX}counters", "accepted", 3)

    answers = inbox._accept([_words(event(number)) for number in (10, 11, 12)])

    lost = [each.lost for each in answers if isinstance(each, Accepted)]
    assert [each is not None for each in lost] == [True, False, False]
    assert lost[0] is not None
    assert (lost[0].first, lost[0].last) == (4, 5)
    assert client.hget(f"{PREFIX}counters", "accepted") == b"6"
    assert inbox.accept(event(13)).lost is None


def _words(envelope: Envelope) -> tuple[str, str, str, str, bytes]:
    header = write_header(envelope, origin="stripe", extra={})
    return envelope.event_id, envelope.fingerprint, envelope.partition, header, envelope.body


def test_without_the_replicas_no_event_of_a_call_is_acknowledged(client: Client) -> None:
    inbox = Inbox(client, replicas=1)

    outcomes = accept_together(inbox, [event(1), event(2)])

    assert all(isinstance(each, TooFewReplicas) for each in outcomes)


def test_if_redis_is_away_all_who_share_a_call_fail(own_redis: Redis) -> None:
    with closing(own_redis.client(timeout=0.5)) as client:
        inbox = Inbox(client)
        own_redis.stop()

        outcomes = accept_together(inbox, [event(1), event(2)])

    assert all(isinstance(each, RedisError) for each in outcomes)


def test_if_redis_freezes_every_thread_has_its_error(
    own_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    with closing(own_redis.client(timeout=0.5)) as client, ThreadPoolExecutor(20) as pool:
        inbox = Inbox(client)
        inbox.accept(FIRST)
        own_redis.freeze()
        futures = [pool.submit(inbox.accept, event(n)) for n in range(1, 41)]

        errors = [each.exception(FOREVER) for each in futures]
        own_redis.thaw()

    assert all(isinstance(error, RedisError) for error in errors)


def test_a_large_event_beside_others_is_accepted_as_they_are(inbox: Inbox) -> None:
    large = event(2, padding=2 * shared_accept.MAX_SHARED_BYTES)

    outcomes = accept_together(inbox, [event(1), large, event(3)])

    assert statuses(outcomes) == ["accepted"] * 3
    assert isinstance(inbox._scripts, HeldScripts)
    assert inbox._scripts.accepts == 4
