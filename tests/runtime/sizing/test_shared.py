from dataclasses import replace

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from runtime.inbox.entries import Backlog
from runtime.sizing.shared import LastNeed, SharedBacklog, state_of
from runtime.telemetry import SharedState
from runtime.time_limits import STALE_NEED_SECONDS
from tests.fakes import FakeClock
from tests.runtime.inbox.backlogs import EMPTY_BACKLOG


def test_the_numbers_are_those_of_the_backlog() -> None:
    state = state_of(replace(EMPTY_BACKLOG, due=3, waiting_seconds=2.5, parked=4, arriving=0.0))

    assert (state.backlog_due_events, state.backlog_due_seconds) == (3, 2.5)
    assert (state.backlog_parked_events, state.worker_processes) == (4, 2)
    assert state.workers_needed == 1


def test_without_workers_none_is_reported_and_one_is_needed() -> None:
    state = state_of(replace(EMPTY_BACKLOG, workers=0, processes=0))

    assert (state.worker_processes, state.workers_needed) == (0, 1)


def test_what_was_needed_is_repeated_for_a_while_and_then_unknown() -> None:
    clock = FakeClock()
    last = LastNeed(clock.monotonic)
    assert last.state() == SharedState()

    last.remember(SharedState(workers_needed=4, backlog_events=9))

    assert last.state() == SharedState(workers_needed=4)
    clock.advance(STALE_NEED_SECONDS)
    assert last.state() == SharedState()


def test_a_redis_that_is_away_leaves_the_need_alone() -> None:
    away = False

    def read() -> Backlog:
        if away:
            raise RedisConnectionError("frozen")
        return replace(EMPTY_BACKLOG, arriving=500.0, processes=0)

    shared = SharedBacklog(read)
    assert shared.state == SharedState()
    shared.refresh()
    needed = shared.state.workers_needed
    away = True
    shared.refresh()

    assert needed is not None
    assert needed > 1
    assert shared.state == SharedState(workers_needed=needed)


def test_an_error_of_another_kind_passes_and_leaves_no_old_backlog_either() -> None:
    answers = [replace(EMPTY_BACKLOG, due=9, arriving=0.0)]
    shared = SharedBacklog(answers.pop)
    shared.refresh()

    with pytest.raises(IndexError):
        shared.refresh()

    assert shared.state == SharedState(workers_needed=1)
