"""Replay many events: requeue them at a given rate and wait for the result of each.

A replay holds no state of its own. If it is interrupted or killed, the workers settle the events
that are in the inbox, the others stay as they are, and the same command does the rest.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Final, Generic, TypeVar

from sqlalchemy.engine import Engine

from ops.bulk.results import ReplayResult, ReplayResults, ReplayStatus
from ops.bulk.targets import Target
from ops.errors import first_line
from ops.queries.replay_results import DEAD_LETTERED, RESOLVED, ReplayTrace, find_traces
from ops.terminal.interrupt import Interrupted
from runtime.inbox.entries import Backlog, Lane, PeekedEvent
from runtime.inbox.inbox import Inbox
from runtime.ledger.deliveries import ALREADY_APPLIED, Outcome

BATCH_SIZE: Final = 25
"""Events requeued in one transaction, which locks their dead letters."""

WINDOW: Final = 1000
"""The most replays that wait in the inbox, which must keep room for deliveries."""

CHECK_SECONDS: Final = 0.2
_MIN_PAUSE_SECONDS: Final = 0.01
_RETRYABLE: Final = frozenset({ReplayStatus.LOCKED, ReplayStatus.PENDING})

T = TypeVar("T", bound=Target)


@dataclass(slots=True, kw_only=True)
class Pace:
    """A limit of ``rate`` events a second; None is no limit."""

    rate: float | None
    clock: Callable[[], float]
    _next_at: float = field(default=float("-inf"))

    def allowed(self) -> int:
        """Return how many events may be requeued now."""
        if self.rate is None:
            return BATCH_SIZE
        if self.clock() < self._next_at:
            return 0
        return max(1, min(BATCH_SIZE, int(self.rate * CHECK_SECONDS)))

    def seconds_left(self) -> float:
        """Return the seconds until more may be requeued, at least 0.01."""
        return max(self._next_at - self.clock(), _MIN_PAUSE_SECONDS) if self.rate else CHECK_SECONDS

    def went(self, number: int) -> None:
        """Count events that were requeued."""
        if self.rate is not None:
            self._next_at = max(self._next_at, self.clock()) + number / self.rate


@dataclass(slots=True, kw_only=True)
class Replay(Generic[T]):
    """One run; at its end, ``results`` counts every event."""

    requeue: Callable[[Sequence[T]], list[ReplayResult]]
    inbox: Inbox
    engine: Engine
    mark: int
    pace: Pace
    wait: bool
    todo: Iterator[T]
    total: int
    results: ReplayResults = field(default_factory=ReplayResults)
    through_inbox: bool = True
    """False if it puts nothing there, and so needs no room."""
    requeued: int = 0
    interrupted: bool = False
    stall_reason: str | None = None
    """The reason why events may be stuck."""
    again: deque[T] = field(default_factory=deque)
    """Events that could not be requeued at their first attempt."""
    in_progress: list[str] = field(default_factory=list)
    _ran_out: bool = False
    """True once there is no further event to requeue: a file may hold fewer than it did."""
    _checked_at: float = float("-inf")

    def run(self, pause: Callable[[float], None], report: Callable[["Replay[T]"], None]) -> None:
        """Replay until every event is done, none is left, or ``pause`` raises ``Interrupted``."""
        try:
            while self.results.counts.total() < self.total and (
                self.in_progress or not self._ran_out
            ):
                progressed = self._requeue_batch()
                self._check_results()
                report(self)
                pause(0.0 if progressed else min(self.pace.seconds_left(), CHECK_SECONDS))
        except Interrupted:
            self.interrupted = True
        self._finish()

    def _requeue_batch(self) -> bool:
        batch = self._next_batch(min(self.pace.allowed(), self._room()))
        if not batch:
            return False
        results = self.requeue(batch)
        for target, result in zip(batch, results, strict=True):
            self._take_result(target, result)
        queued = sum(result.status is ReplayStatus.QUEUED for result in results)
        self.requeued += queued
        self.pace.went(queued)
        return any(result.status not in _RETRYABLE for result in results)

    def _room(self) -> int:
        if not self.through_inbox:
            return BATCH_SIZE
        return max(WINDOW - self.inbox.backlog().by_lane[Lane.REPLAY], 0)

    def _next_batch(self, number: int) -> list[T]:
        """Return the next events; a second copy of an event in a file waits for the first."""
        drawn = [*islice(self.todo, number)]
        drawn += [self.again.popleft() for _ in range(min(number - len(drawn), len(self.again)))]
        self._ran_out = number > 0 and not drawn
        batch: dict[str, T] = {}
        for target in drawn:
            if target.key in batch or target.key in self.in_progress:
                self.again.append(target)
            else:
                batch[target.key] = target
        return [*batch.values()]

    def _take_result(self, target: T, result: ReplayResult) -> None:
        match result.status:
            case ReplayStatus.QUEUED | ReplayStatus.ALREADY_QUEUED if self.wait:
                self.in_progress.append(target.key)
            case ReplayStatus.QUEUED | ReplayStatus.ALREADY_QUEUED:
                self.results.record(target.key, ReplayStatus.QUEUED)
            case ReplayStatus.PENDING if not self.wait:
                detail = "it was in the inbox already"
                self.results.record(target.key, ReplayStatus.IN_PROGRESS, detail)
            case ReplayStatus.LOCKED | ReplayStatus.PENDING:
                self.again.append(target)
            case _:
                self.results.add(result)

    def _check_results(self) -> None:
        now = self.pace.clock()
        if self.in_progress and now - self._checked_at >= CHECK_SECONDS:
            self._checked_at = now
            self.stall_reason = stall_reason(self.inbox.backlog())
            self._collect_results()

    def _collect_results(self) -> None:
        """Query the inbox before the audit: an event that leaves it has left its trace by then."""
        inside = set(self.inbox.pending(self.in_progress))
        with self.engine.connect() as connection:
            traces = find_traces(connection, self.in_progress, self.mark)
        for key in self.in_progress:
            if trace := traces.get(key):
                self.results.record(key, *status_of_trace(trace))
            elif key not in inside:
                detail = "it left the inbox without a result; replay it"
                self.results.record(key, ReplayStatus.LOST, detail)
        self.in_progress = [key for key in self.in_progress if key in inside - traces.keys()]

    def _finish(self) -> None:
        if self.in_progress:
            self._collect_results()
            for peeked in self.inbox.peek(self.in_progress):
                self.results.record(peeked.key, ReplayStatus.IN_PROGRESS, why_it_waits(peeked))
        if ReplayStatus.NOT_STARTED not in self.results.unlisted:
            for target in chain(self.again, self.todo):
                self.results.record(target.key, ReplayStatus.NOT_STARTED)
        if left := self.total - self.results.counts.total():
            self.results.counts[ReplayStatus.NOT_STARTED] += left


def stall_reason(backlog: Backlog) -> str | None:
    """Return why workers take nothing from the inbox, None if they do."""
    if backlog.breaker is not None:
        return f"the circuit breaker is open, no event is applied: {backlog.breaker.reason}"
    return None if backlog.processes else "no worker is running: start `paidup worker`"


def status_of_trace(trace: ReplayTrace) -> tuple[ReplayStatus, str]:
    """Return the status and details for what the audit records about an event."""
    if trace.action == DEAD_LETTERED:
        return (
            ReplayStatus.FAILED,
            f"{trace.after.get('error_type')}: {first_line(trace.reason or '')}",
        )
    if trace.action == RESOLVED:
        return ReplayStatus.APPLIED, f"by a delivery from {trace.actor}"
    return status_of_outcome(Outcome(trace.after["outcome"]), trace.after.get("reason"))


def status_of_outcome(outcome: Outcome, reason: str | None) -> tuple[ReplayStatus, str]:
    """Return the status and details for an outcome that the ledger decided."""
    if reason == ALREADY_APPLIED:
        return ReplayStatus.ALREADY_APPLIED, ""
    return ReplayStatus(outcome), reason or ""


def why_it_waits(peeked: PeekedEvent) -> str:
    """Return why an event is still in the inbox."""
    if error := peeked.history.get("last_error"):
        return f"it waits for its next try after {first_line(error)}"
    return "a worker has it" if peeked.state == "claimed" else "it waits for a worker"
