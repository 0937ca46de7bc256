"""Let threads that accept at the same time share one call of the accept script.

    thread -> waits while a call is under way -> leads: takes all who wait, calls once, answers all

A thread that finds no call under way leads at once, so a lone event waits for no other. A leader
that is done makes the one that waits longest the next leader. If a call fails, all who share it or
wait for it fail with it: they would ask the same server. A call that takes long does not hold
others up: a thread that has waited for ``ACCEPT_TURN_SECONDS`` leads beside it. So every event has
its answer or its error in the time that a call may take, and that turn.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from runtime.time_limits import ACCEPT_ANSWER_SECONDS, ACCEPT_TURN_SECONDS

MAX_SHARING: Final = 64
"""Events of one call."""

MAX_SHARED_BYTES: Final = 256 * 1024
"""Their bodies together. A larger one goes alone: its call takes long, and may fail by its size."""


Event = TypeVar("Event")
Answer = TypeVar("Answer")


class _Place(Generic[Event, Answer]):
    """The place of one event in the line, and its answer or error."""

    __slots__ = ("answer", "called", "error", "event", "size", "taken")

    def __init__(self, event: Event, size: int) -> None:
        self.event = event
        self.size = size
        self.taken = False
        """True once it shares a call, or leads one."""
        self.answer: Answer | None = None
        self.error: Exception | None = None
        self.called = threading.Lock()
        """Held until there is an answer or an error, or it is to lead."""
        self.called.acquire()


class SharedAccept(Generic[Event, Answer]):
    """Share calls of ``accept``, which answers several events at once, in their order."""

    def __init__(self, accept: Callable[[Sequence[Event]], Sequence[Answer]]) -> None:
        self._accept = accept
        self._changing = threading.Lock()
        self._line = deque[_Place[Event, Answer]]()
        self._leaders = 0

    def accept(self, event: Event, *, size: int) -> Answer:
        """Return the answer for one event; raises what the call that it shared raised.

        ``size`` is that of its body, in bytes.
        """
        with self._changing:
            leads = not self._leaders
            if leads:
                self._leaders = 1
            else:
                place = _Place[Event, Answer](event, size)
                self._line.append(place)
        if leads:
            return self._lead(event, ())  # the line is empty while no thread leads
        if self._is_to_lead(place):
            return self._lead(event, self._take(size))
        return _result(place)

    def _is_to_lead(self, place: _Place[Event, Answer]) -> bool:
        """Wait for an answer, an error or the lead.

        Raises:
            RedisTimeoutError: the leader has not answered in time.
        """
        if not place.called.acquire(timeout=ACCEPT_TURN_SECONDS):
            with self._changing:
                if not place.taken:
                    self._line.remove(place)
                    self._leaders += 1
                    return True
            if not place.called.acquire(timeout=ACCEPT_ANSWER_SECONDS - ACCEPT_TURN_SECONDS):
                raise RedisTimeoutError("the call that was shared has not ended in time")
        return place.answer is None and place.error is None

    def _lead(self, event: Event, shared: Sequence[_Place[Event, Answer]]) -> Answer:
        try:
            answers = self._accept([event, *[place.event for place in shared]])
            for place, answer in zip(shared, answers[1:], strict=True):
                place.answer = answer
        except BaseException as error:
            self._fail(shared, error)
            raise
        for place in shared:
            place.called.release()
        self._hand_on()
        return answers[0]

    def _take(self, size: int) -> list[_Place[Event, Answer]]:
        shared: list[_Place[Event, Answer]] = []
        with self._changing:
            while self._line and len(shared) + 1 < MAX_SHARING:
                size += self._line[0].size
                if size > MAX_SHARED_BYTES:
                    break
                shared.append(self._next())
        return shared

    def _next(self) -> _Place[Event, Answer]:
        place = self._line.popleft()
        place.taken = True
        return place

    def _hand_on(self) -> None:
        with self._changing:
            if self._line:
                self._next().called.release()
            else:
                self._leaders -= 1

    def _fail(self, shared: Sequence[_Place[Event, Answer]], error: BaseException) -> None:
        failed = error if isinstance(error, Exception) else RedisConnectionError(repr(error))
        with self._changing:
            self._leaders -= 1
            waiting = [self._next() for _ in range(len(self._line))]
        for place in (*shared, *waiting):
            place.error = failed
            place.called.release()


def _result(place: _Place[Event, Answer]) -> Answer:
    if place.error is not None:
        try:
            raise place.error
        finally:
            place.error = None  # its traceback holds this frame, which must not hold it
    assert place.answer is not None, "an answer or an error"  # noqa: S101 - for types
    return place.answer
