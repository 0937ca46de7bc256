"""Threads share calls of a fake script that answers each number with ten times as much."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from itertools import count

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from runtime.inbox import shared_accept
from runtime.inbox.shared_accept import MAX_SHARED_BYTES, MAX_SHARING, SharedAccept, _Place
from tests.workers.waiting import until

FOREVER = 600.0

Answering = Callable[[Sequence[int]], list[int]]


class HeldScript:
    """A script that holds its first call until it may go, and keeps the events of each call."""

    def __init__(self, answer: Answering | None = None) -> None:
        self.answer = answer or (lambda events: [event * 10 for event in events])
        self.calls: list[list[int]] = []
        self.may_go = threading.Event()

    def __call__(self, events: Sequence[int]) -> list[int]:
        self.calls.append(list(events))
        if len(self.calls) == 1:
            assert self.may_go.wait(FOREVER)
        return self.answer(events)


class WaitingThreads:
    """Threads that accept numbers through one script, the first of which leads."""

    def __init__(self, pool: ThreadPoolExecutor, script: Answering) -> None:
        self.shared = SharedAccept[int, int](script)
        self._pool = pool

    def accept(self, event: int, *, size: int = 1) -> Future[int]:
        return self._pool.submit(self.shared.accept, event, size=size)

    def wait_in_line(self, events: Sequence[int], *, size: int = 1) -> list[Future[int]]:
        """Accept numbers one after the other while a call is under way."""
        futures = []
        for event in events:
            stand = len(self.shared._line)
            futures.append(self.accept(event, size=size))
            until(partial(self._stand_more_than, stand))
        return futures

    def _stand_more_than(self, number: int) -> bool:
        return len(self.shared._line) > number


@contextmanager
def line(script: Answering) -> Iterator[WaitingThreads]:
    with ThreadPoolExecutor(MAX_SHARING + 10) as pool:
        yield WaitingThreads(pool, script)


@contextmanager
def led(script: HeldScript) -> Iterator[tuple[WaitingThreads, Future[int]]]:
    """Yield a line whose leader, with event 1, waits for the script."""
    with line(script) as opened:
        try:
            leader = opened.accept(1)
            until(lambda: script.calls == [[1]])
            yield opened, leader
        finally:
            script.may_go.set()


@pytest.fixture
def script() -> HeldScript:
    return HeldScript()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody lose patience, so that the speed of the machine decides nothing."""
    monkeypatch.setattr(shared_accept, "ACCEPT_TURN_SECONDS", FOREVER)
    monkeypatch.setattr(shared_accept, "ACCEPT_ANSWER_SECONDS", 2 * FOREVER)


def test_a_lone_event_is_a_call_of_its_own(script: HeldScript) -> None:
    script.may_go.set()
    with line(script) as alone:
        answers = [alone.shared.accept(event, size=1) for event in (1, 2)]

    assert answers == [10, 20]
    assert script.calls == [[1], [2]]


def test_events_that_come_during_a_call_share_the_next_one(script: HeldScript) -> None:
    with led(script) as (opened, leader):
        others = opened.wait_in_line([2, 3, 4])
        script.may_go.set()

        assert [each.result() for each in (leader, *others)] == [10, 20, 30, 40]
    assert script.calls == [[1], [2, 3, 4]]


def test_a_call_that_fails_fails_all_who_share_it_or_wait_for_it() -> None:
    def refuse(_: Sequence[int]) -> list[int]:
        raise RedisConnectionError("refused")

    script = HeldScript(refuse)
    with led(script) as (opened, leader):
        others = opened.wait_in_line([2, 3])
        script.may_go.set()

        for each in (leader, *others):
            assert isinstance(each.exception(), RedisConnectionError)
        assert script.calls == [[1]]
        script.answer = lambda events: [0 for _ in events]
        assert opened.accept(4).result() == 0


def test_who_shares_a_call_fails_with_it() -> None:
    def refuse_several(events: Sequence[int]) -> list[int]:
        if len(events) > 1:
            raise RedisConnectionError("refused")
        return [0]

    script = HeldScript(refuse_several)
    with led(script) as (opened, leader):
        others = opened.wait_in_line([2, 3])
        script.may_go.set()

        assert leader.result() == 0
        assert [type(each.exception()) for each in others] == [RedisConnectionError] * 2


def test_a_leader_whose_thread_is_ended_leaves_nobody_waiting() -> None:
    def end(_: Sequence[int]) -> list[int]:
        raise SystemExit

    script = HeldScript(end)
    with led(script) as (opened, leader):
        others = opened.wait_in_line([2, 3])
        script.may_go.set()

        assert isinstance(leader.exception(), SystemExit)
        assert [type(each.exception()) for each in others] == [RedisConnectionError] * 2


def test_answers_that_are_too_few_are_an_error_for_all() -> None:
    script = HeldScript(lambda _: [7])
    with led(script) as (opened, leader):
        others = opened.wait_in_line([2, 3])
        script.may_go.set()

        assert leader.result() == 7
        assert [type(each.exception()) for each in others] == [ValueError] * 2


def test_a_slow_call_holds_nobody_up(script: HeldScript, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_accept, "ACCEPT_TURN_SECONDS", 0.001)
    with led(script) as (opened, leader):
        assert opened.accept(2).result() == 20
        assert not leader.done()
        script.may_go.set()

        assert leader.result() == 10
        assert opened.shared._leaders == 0
        assert opened.accept(3).result() == 30
    assert script.calls == [[1], [2], [3]]


def test_a_call_is_waited_for_no_longer_than_any_may_take(
    script: HeldScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_accept, "ACCEPT_TURN_SECONDS", 0.001)
    monkeypatch.setattr(shared_accept, "ACCEPT_ANSWER_SECONDS", 0.002)
    place = _Place[int, int](1, 1)
    place.taken = True

    with pytest.raises(RedisTimeoutError):
        SharedAccept[int, int](script)._is_to_lead(place)


def test_many_threads_and_failures_mix_up_no_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_accept, "ACCEPT_TURN_SECONDS", 0.0001)
    calls = count(1)

    def fail_at_times(events: Sequence[int]) -> list[int]:
        if next(calls) % 7 == 0:
            raise RedisConnectionError("refused")
        return [event * 10 for event in events]

    with line(fail_at_times) as opened:
        futures = [opened.accept(event, size=event) for event in range(5000)]
        wait(futures)

        answered = [event for event, each in enumerate(futures) if not each.exception()]
        assert [futures[event].result() for event in answered] == [10 * n for n in answered]
        assert len(answered) > 100
        assert opened.shared._leaders == 0
        assert not opened.shared._line


@pytest.mark.parametrize("large", [MAX_SHARED_BYTES, 4 * MAX_SHARED_BYTES])
def test_a_large_event_shares_no_call(script: HeldScript, large: int) -> None:
    with led(script) as (opened, _):
        before = opened.wait_in_line([2, 3])
        alone = opened.wait_in_line([4], size=large)
        after = opened.wait_in_line([5, 6])
        script.may_go.set()

        wait([*before, *alone, *after])
    assert script.calls == [[1], [2, 3], [4], [5, 6]]


def test_a_call_has_no_more_events_than_it_may(script: HeldScript) -> None:
    with led(script) as (opened, _):
        others = opened.wait_in_line(range(2, MAX_SHARING + 4))
        script.may_go.set()

        assert [each.result() for each in others] == [10 * n for n in range(2, MAX_SHARING + 4)]
    assert [len(call) for call in script.calls] == [1, MAX_SHARING, 2]
