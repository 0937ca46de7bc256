"""The parts of a simulated machine: a clock, processors, and servers that flush what they do.

Everything happens in the order of its time, and of its scheduling where times are equal, so a run
depends on nothing but its input.
"""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Final

Act = Callable[[], None]

SLICE_SECONDS: Final = 0.002
"""The turn of one task on a processor while others wait for one."""


class SimulatedClock:
    """The time of a simulation, and what is due at which time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Act]] = []
        self._number = count()

    def after(self, seconds: float, act: Act) -> None:
        """Do something after so many seconds."""
        heappush(self._due, (self.now + seconds, next(self._number), act))

    def run(self, until: float) -> None:
        """Do what is due until a time, and let it be that time."""
        while self._due and self._due[0][0] <= until:
            self.now, _, act = heappop(self._due)
            act()
        self.now = until


class Processors:
    """Processors that share their work: each task gets one for a turn, then waits behind others."""

    def __init__(self, clock: SimulatedClock, number: int) -> None:
        self.number = number
        self.busy_seconds = 0.0
        self._clock = clock
        self._free = number
        self._waiting: deque[tuple[float, Act]] = deque()

    def use(self, seconds: float, done: Act) -> None:
        """Take so much processor time, then go on."""
        if self._free:
            self._free -= 1
            self._take_turn(seconds, done)
        else:
            self._waiting.append((seconds, done))

    def _take_turn(self, seconds: float, done: Act) -> None:
        turn = min(seconds, SLICE_SECONDS)
        self.busy_seconds += turn
        self._clock.after(turn, lambda: self._end_turn(seconds - turn, done))

    def _end_turn(self, left: float, done: Act) -> None:
        if left > 0:
            self._waiting.append((left, done))
        if self._waiting:
            self._take_turn(*self._waiting.popleft())
        else:
            self._free += 1
        if left <= 0:
            done()


class FlushingServer:
    """One thread that takes all requests that wait, carries them out, flushes once, and answers.

    Redis with ``appendfsync always`` works like this, and so do sessions of PostgreSQL that share a
    flush of its log.
    """

    def __init__(self, clock: SimulatedClock, processors: Processors, flush_seconds: float) -> None:
        self.busy_seconds = 0.0
        self.flushes = 0
        self._clock = clock
        self._processors = processors
        self._flush_seconds = flush_seconds
        self._waiting: list[tuple[Callable[[], float], Act]] = []
        self._works = False

    def ask(self, carry_out: Callable[[], float], answered: Act) -> None:
        """Carry something out, which returns its processor time; go on once that is flushed."""
        self._waiting.append((carry_out, answered))
        if not self._works:
            self._work()

    def _work(self) -> None:
        taken, self._waiting = self._waiting, []
        self._works = bool(taken)
        if not taken:
            return
        seconds = sum(carry_out() for carry_out, _ in taken)
        self.busy_seconds += seconds
        self.flushes += 1

        def answer() -> None:
            for _, answered in taken:
                answered()
            self._work()

        def flush() -> None:
            self._clock.after(self._flush_seconds, answer)

        self._processors.use(seconds, flush)
