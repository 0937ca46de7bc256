"""The history says what was sent, after ingest and workers of a real stack have reported."""

import time
from collections.abc import Callable, Iterator

import pytest
import redis

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from ops.send.delivery import sign
from runtime.history.intervals import History, InboxLevels, IngestCounts, WorkerCounts
from runtime.history.reader import read_history
from runtime.history.spans import DAY, HOUR, HistorySpan
from tests.system.stack_env import StackUnderTest

pytestmark = pytest.mark.servers

LIFECYCLES = 5
DUPLICATES = 3
FORGED = 2


@pytest.fixture
def client(own_system: StackUnderTest) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(own_system.stack.redis_url, protocol=2) as client:
        yield client


def ingest_of(history: History) -> list[IngestCounts]:
    return [each.ingest for each in history.intervals if each.ingest is not None]


def workers_of(history: History) -> list[WorkerCounts]:
    return [each.workers for each in history.intervals if each.workers is not None]


def inbox_of(history: History) -> list[InboxLevels]:
    return [each.inbox for each in history.intervals if each.inbox is not None]


def read_until(
    client: redis.Redis,
    span: HistorySpan,
    enough: Callable[[History], bool],
    *,
    seconds: float = 60,
) -> History:
    """Return the history once it holds enough; an interval is shown when its end is past."""
    until = time.monotonic() + seconds
    while not enough(history := read_history(client, span)):
        assert time.monotonic() < until, (received(history), settled(history))
        time.sleep(0.2)
    return history


def received(history: History) -> dict[str, int]:
    counts = ingest_of(history)
    return {
        result: sum(getattr(each, result) for each in counts)
        for result in ("accepted", "duplicate", "invalid", "refused")
    }


def settled(history: History) -> int:
    return sum(each.settled for each in workers_of(history))


def test_the_history_of_both_spans_agrees_with_what_was_sent(
    own_system: StackUnderTest, client: redis.Redis, now: int
) -> None:
    lifecycles = [
        compose("onetime", shape=Shape.NEW, seed=f"history {number}", now=now)
        for number in range(LIFECYCLES)
    ]
    events = [event for lifecycle in lifecycles for event in lifecycle.events]
    bodies = [event.body for event in events] + [events[0].body] * DUPLICATES
    forged = sign(events[0].body, "whsec_guess", int(time.time()))
    for body in bodies:
        own_system.post(body)
    for _ in range(FORGED):
        own_system.post(events[0].body, signature=forged)
    own_system.await_settled(event.id for event in events)
    counters = own_system.counters()
    # A busy machine may answer 503 in between: what ingest itself counted says how often.
    expected = {
        result: counters[f'billing_webhook_received_total{{result="{result}"}}']
        for result in ("accepted", "duplicate", "invalid", "refused")
    }
    acknowledged = expected["accepted"] + expected["duplicate"]
    assert acknowledged >= len(bodies)
    assert expected["invalid"] == FORGED

    for span in (HOUR, DAY):
        history = read_until(
            client,
            span,
            lambda read: (
                received(read) == expected and settled(read) == len(events) and inbox_of(read) != []
            ),
        )
        assert sum(each.seconds.total for each in ingest_of(history)) == acknowledged
        assert sum(each.lag.total for each in workers_of(history)) == len(events)
        assert max(each.dead_letters or 0 for each in inbox_of(history)) == 0
