"""Simulate ingest, Redis, workers and PostgreSQL from the service times of each.

An event takes a processor of ingest, shares a call of the accept script, waits in the inbox, and is
settled in a batch: a claim, questions to PostgreSQL with the worker's own work between them, a
commit, and the end of the batch in Redis. A process drains for some seconds, until nothing is due.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Final

from bench.simulate.arrivals import Arrival
from bench.simulate.inbox import SimulatedClaim, SimulatedInbox
from bench.simulate.stations import (
    SLICE_SECONDS,
    Act,
    FlushingServer,
    Processors,
    SimulatedClock,
)
from bench.simulate.times import ServiceTimes
from runtime.inbox.inbox import MAX_WAKES
from runtime.inbox.shared_accept import MAX_SHARING
from runtime.time_limits import MAX_RUN_SECONDS, PERIOD_SECONDS

_LOOK_SECONDS: Final = 0.1
"""Between two looks at the age of the oldest event."""

_STEP_SECONDS: Final = 0.01
"""Between two looks whether a backlog is drained."""

_REGISTERED: Final = float("inf")
"""A process that drains renews its registration."""

Wait = Callable[[Act], None]
"""Start something, and call back once it is done."""

Course = Generator[Wait, None, None]
"""The work of one process, one wait after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """The processes and processors of a simulated installation, and the distances between them."""

    workers: int
    ingest: int
    postgresql: int = 8
    """Processors of PostgreSQL."""
    shared: int | None = None
    """Processors that everything shares; None if each worker and each process of ingest has one."""
    to_postgresql: float = 0.0005
    """Seconds of a round trip from a worker."""
    to_redis: float = 0.0002
    outside: float = 0.0
    """How many of the shared processors other work keeps busy."""


@dataclass(slots=True, kw_only=True)
class SimulatedFigures:
    """Counts and times since the counting began, in seconds and events."""

    began: float = 0.0
    seconds: float = 0.0
    arrived: int = 0
    settled: int = 0
    batches: int = 0
    waiting: int = 0
    lags: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    """Of the oldest event that any process could take, at regular times."""
    used: dict[str, float] = field(default_factory=dict)
    """The part of its time that each part of the installation works."""


class Simulation:
    """One run of an installation."""

    def __init__(self, times: ServiceTimes, machines: Machines) -> None:
        self.clock = SimulatedClock()
        self.figures = SimulatedFigures()
        self._times = times
        self._machines = machines
        self._inbox = SimulatedInbox(most_events=times.most_events, processes=machines.workers)
        shared = None if machines.shared is None else self._processors(machines.shared)
        self._redis = FlushingServer(self.clock, shared or self._processors(1), times.redis_flush)
        self._log = FlushingServer(self.clock, self._processors(1), times.commit_flush)
        self._postgresql = shared or self._processors(machines.postgresql)
        self._postgresql_seconds = 0.0
        self._worker_seconds = 0.0
        self._ingest = [
            _IngestProcess(self, shared or self._processors(1)) for _ in range(machines.ingest)
        ]
        self._turns = cycle(self._ingest)
        self._worker_processors = [shared or self._processors(1) for _ in range(machines.workers)]
        self._idle = list(range(machines.workers))
        self._messages: list[int] = []
        self._working_seconds = 0.0
        if shared is not None and machines.outside > 0:
            self._every(SLICE_SECONDS / machines.outside, partial(_use_a_turn, shared))
        self._every(PERIOD_SECONDS, self._sweep)
        self._every(_LOOK_SECONDS, self._look)

    # Runs -----------------------------------------------------------------------------------

    def run(self, arrivals: Iterable[Arrival], seconds: float, *, warming: float) -> None:
        """Let events arrive for so many seconds after those that warm up, and count them."""
        self._next_arrival(iter(arrivals))
        self.clock.run(warming)
        self._begin_counting()
        self.clock.run(warming + seconds)
        self._end_counting()

    def drain(self, backlog: Iterable[Arrival], most_seconds: float) -> None:
        """Start the workers on a backlog, and count from its first settled tenth to its last."""
        for arrival in backlog:
            self._inbox.accept(arrival, self.clock.now)
        few = self._inbox.waiting * 9 // 10
        self._send(self._owed_wakes(1))
        self._run_until(lambda: self._inbox.waiting <= few, most_seconds)
        self._begin_counting()
        self._run_until(lambda: not self._inbox.waiting, most_seconds)
        self._end_counting()

    def _run_until(self, reached: Callable[[], bool], most_seconds: float) -> None:
        while not reached() and self.clock.now < most_seconds:
            self.clock.run(self.clock.now + _STEP_SECONDS)

    def _begin_counting(self) -> None:
        before = self._busy()
        self.figures = SimulatedFigures(began=self.clock.now)
        self.figures.used = before

    def _end_counting(self) -> None:
        figures = self.figures
        figures.seconds = self.clock.now - figures.began
        figures.waiting = self._inbox.waiting
        before, machines = figures.used, self._machines
        numbers = {
            "ingest": machines.ingest,
            "Redis": 1,
            "workers": machines.workers,
            "processors of workers": machines.workers,
            "PostgreSQL": machines.postgresql,
        }
        figures.used = {
            name: (seconds - before[name]) / figures.seconds / numbers[name]
            for name, seconds in self._busy().items()
        }

    def _busy(self) -> dict[str, float]:
        return {
            "ingest": sum(each.busy_seconds for each in self._ingest),
            "Redis": self._redis.busy_seconds,
            "workers": self._working_seconds,
            "processors of workers": self._worker_seconds,
            "PostgreSQL": self._postgresql_seconds,
        }

    def _processors(self, number: int) -> Processors:
        return Processors(self.clock, number)

    def _every(self, seconds: float, act: Act) -> None:
        def again() -> None:
            act()
            self.clock.after(seconds, again)

        self.clock.after(seconds, again)

    # Arrivals -------------------------------------------------------------------------------

    def _next_arrival(self, arrivals: Iterator[Arrival]) -> None:
        arrival = next(arrivals, None)
        if arrival is None:
            return

        def arrive() -> None:
            self.figures.arrived += 1
            next(self._turns).take(arrival)
            self._next_arrival(arrivals)

        self.clock.after(arrival.seconds - self.clock.now, arrive)

    def accept(self, arrivals: list[Arrival], answered: Act) -> None:
        """Accept events in one call of the script, and wake a worker if that is owed."""
        owed: list[int] = []

        def carry_out() -> float:
            for arrival in arrivals:
                self._inbox.accept(arrival._replace(seconds=self.clock.now), self.clock.now)
            owed.extend(self._owed_wakes(1))
            return self._times.accept_call + self._times.accept_event * len(arrivals)

        def send_wakes() -> None:
            self._send(owed)
            answered()

        self._ask_redis(carry_out, send_wakes)

    def ingest_seconds(self) -> float:
        """Return the processor time of an event in ingest."""
        return self._times.ingest

    def _ask_redis(self, carry_out: Callable[[], float], answered: Act) -> None:
        half = self._machines.to_redis / 2
        later = partial(self.clock.after, half, answered)
        self.clock.after(half, lambda: self._redis.ask(carry_out, later))

    # Wake-ups -------------------------------------------------------------------------------

    def _owed_wakes(self, most: int) -> list[int]:
        owed: list[int] = []
        while len(owed) < most and self._inbox.wake_is_owed(self.clock.now):
            owed.append(self._inbox.register_wake(self.clock.now))
        return owed

    def _sweep(self) -> None:
        now, registered = self.clock.now, self._inbox.registered
        for number in [number for number, until in registered.items() if until <= now]:
            del registered[number]
        self._send(self._owed_wakes(MAX_WAKES))

    def _send(self, wakes: list[int]) -> None:
        for wake in wakes:
            self.clock.after(self._times.wake, partial(self._deliver, wake))

    def _deliver(self, wake: int) -> None:
        if self._idle:
            _go_on(self._drains(self._idle.pop(), wake))
        else:
            self._messages.append(wake)

    # Workers --------------------------------------------------------------------------------

    def _drains(self, worker: int, wake: int) -> Course:
        """Drain until nothing is due or the time is up, as ``Drainer`` does."""
        ends_at = self.clock.now + MAX_RUN_SECONDS
        unused_wake: int | None = wake
        token = -1 - worker
        while self.clock.now < ends_at:
            claims: list[SimulatedClaim] = []
            owed: list[int] = []
            yield partial(self._ask_redis, partial(self._claim, token, unused_wake, claims, owed))
            unused_wake = None
            if not claims[0].events:
                break
            self._send(owed)
            yield from self._records(worker, claims[0])
        else:
            owed = []
            yield partial(self._ask_redis, partial(self._leave, token, owed))
            self._send(owed)
        self._idle.append(worker)
        if self._messages:
            self._deliver(self._messages.pop(0))

    def _claim(
        self, token: int, wake: int | None, claims: list[SimulatedClaim], owed: list[int]
    ) -> float:
        now, registered = self.clock.now, self._inbox.registered
        for number in (token, wake):
            if number is not None:
                registered.pop(number, None)
        claim = self._inbox.claim(now)
        claims.append(claim)
        if claim.events:
            registered[token] = _REGISTERED
            owed.extend(self._owed_for(claim))
        return self._times.batch(len(claim.events)).redis / 2

    def _owed_for(self, claim: SimulatedClaim) -> list[int]:
        """Return the wake-up that a full claim owes if more is due than it took."""
        return [self._inbox.register_wake(self.clock.now)] if claim.wakes else []

    def _leave(self, token: int, owed: list[int]) -> float:
        self._inbox.registered.pop(token, None)
        owed.extend(self._owed_wakes(1))
        return self._times.batch(1).redis / 2

    def _records(self, worker: int, claim: SimulatedClaim) -> Course:
        """Record a batch: the worker's work and PostgreSQL's by turns, then the commit."""
        began = self.clock.now
        cost = self._times.batch(len(claim.events))
        steps = max(round(cost.round_trips), 1)
        half = self._machines.to_postgresql / 2
        own = self._worker_processors[worker]
        for _ in range(steps):
            self._worker_seconds += cost.worker / steps
            yield partial(own.use, cost.worker / steps)
            yield partial(self.clock.after, half)
            self._postgresql_seconds += cost.postgresql / steps
            yield partial(self._postgresql.use, cost.postgresql / steps)
            yield partial(self.clock.after, half)
        yield partial(self._log.ask, lambda: 0.0)
        committed = self.clock.now
        yield partial(self._ask_redis, partial(self._finish, claim))
        self._note(claim, committed)
        self._working_seconds += self.clock.now - began

    def _finish(self, claim: SimulatedClaim) -> float:
        self._inbox.finish(claim)
        return self._times.batch(len(claim.events)).redis / 2

    def _note(self, claim: SimulatedClaim, committed: float) -> None:
        self.figures.settled += len(claim.events)
        self.figures.batches += 1
        self.figures.lags += [committed - event.seconds for event in claim.events]

    def _look(self) -> None:
        oldest = self._inbox.oldest_due()
        self.figures.ages.append(0.0 if oldest is None else self.clock.now - oldest)


class _IngestProcess:
    """A process that works on one event at a time, and whose threads share calls of the script."""

    def __init__(self, simulation: Simulation, processors: Processors) -> None:
        self.busy_seconds = 0.0
        self._simulation = simulation
        self._processors = processors
        self._line: list[Arrival] = []
        self._calls = False

    def take(self, arrival: Arrival) -> None:
        """Work on an event, then accept it with those that wait for the call under way to end."""
        seconds = self._simulation.ingest_seconds()
        self.busy_seconds += seconds
        self._processors.use(seconds, partial(self._join, arrival))

    def _join(self, arrival: Arrival) -> None:
        self._line.append(arrival)
        if not self._calls:
            self._call()

    def _call(self) -> None:
        taken, self._line = self._line[:MAX_SHARING], self._line[MAX_SHARING:]
        self._calls = bool(taken)
        if taken:
            self._simulation.accept(taken, self._call)


def _use_a_turn(processors: Processors) -> None:
    processors.use(SLICE_SECONDS, _nothing_follows)


def _nothing_follows() -> None:
    """Do nothing: other work on the machine has no consequence here."""


def _go_on(course: Course) -> None:
    """Let a process do its next thing, and go on once that is done."""
    wait = next(course, None)
    if wait is not None:
        wait(partial(_go_on, course))
