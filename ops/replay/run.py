"""Replay many events: requeue them at a given rate and wait for the result of each.

A replay holds no state of its own. If it is interrupted or killed, the workers settle the events
that are in the inbox, the others stay as they are, and the same command does the rest.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sqlalchemy.engine import Engine

from ops.queries.replay_results import DEAD_LETTERED, RESOLVED, ReplayTrace, find_traces
from ops.replay.ports import ReplayInbox
from ops.replay.requeue import RequeueResult, RequeueStatus
from ops.replay.targets import Target
from ops.terminal.interrupt import Interrupted
from runtime.inbox.entries import Backlog, Lane, PeekedEvent
from runtime.ledger.deliveries import ALREADY_APPLIED, Outcome

BATCH_SIZE: Final = 25
"""Events requeued in one transaction, which locks their dead letters."""

WINDOW: Final = 1000
"""The most replays that wait in the inbox, which must keep room for deliveries."""

CHECK_SECONDS: Final = 0.2
_MIN_PAUSE_SECONDS: Final = 0.01
_RETRYABLE: Final = frozenset({RequeueStatus.LOCKED, RequeueStatus.PENDING})


class ReplayStatus(StrEnum):
    """The status of one event of a replay; the values are shown to the operator."""

    APPLIED = "applied"
    ALREADY_APPLIED = "already applied"
    SUPERSEDED = "superseded"
    IGNORED = "ignored"
    FAILED = "failed again"
    ALREADY_SETTLED = "already settled"
    EXCLUDED = "excluded"
    RESOLVED_ELSEWHERE = "resolved elsewhere"
    QUEUED = "queued"
    IN_PROGRESS = "in progress"
    LOST = "lost"
    NOT_TRIED = "not tried"
    NOT_STARTED = "not started"


DONE: Final = frozenset(ReplayStatus) - {
    *(
        ReplayStatus.FAILED,
        ReplayStatus.IN_PROGRESS,
        ReplayStatus.LOST,
        ReplayStatus.NOT_TRIED,
        ReplayStatus.NOT_STARTED,
    )
}
"""Statuses that leave nothing to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """One event, its status, and details for the operator."""

    key: str
    status: ReplayStatus
    detail: str = ""


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
class Replay:
    """One run; at its end, ``results`` holds every event."""

    requeue: Callable[[Sequence[Target]], list[RequeueResult]]
    inbox: ReplayInbox
    engine: Engine
    mark: int
    pace: Pace
    wait: bool
    todo: deque[Target]
    total: int = 0
    requeued: int = 0
    interrupted: bool = False
    stall_reason: str | None = None
    """The reason why events may be stuck."""
    in_progress: dict[str, Target] = field(default_factory=dict)
    results: dict[str, ReplayResult] = field(default_factory=dict)
    _checked_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.total = len(self.todo)

    def run(self, pause: Callable[[float], None], report: Callable[["Replay"], None]) -> None:
        """Replay until every event is done, or until ``pause`` raises ``Interrupted``."""
        try:
            while self.todo or (self.wait and self.in_progress):
                progressed = self._requeue_batch()
                self._check_results()
                report(self)
                pause(0.0 if progressed else min(self.pace.seconds_left(), CHECK_SECONDS))
        except Interrupted:
            self.interrupted = True
        self._finish()

    def counts(self) -> Counter[ReplayStatus]:
        """Return the number of events by status so far."""
        return Counter(result.status for result in self.results.values())

    def _requeue_batch(self) -> bool:
        number = min(self.pace.allowed(), self._room()) if self.todo else 0
        batch = [self.todo.popleft() for _ in range(min(number, len(self.todo)))]
        if not batch:
            return False
        try:
            results = self.requeue(batch)
        except Exception:
            self.todo.extendleft(reversed(batch))
            raise
        for result in results:
            self._take_result(result)
        queued = sum(result.status is RequeueStatus.QUEUED for result in results)
        self.requeued += queued
        self.pace.went(queued)
        return any(result.status not in _RETRYABLE for result in results)

    def _room(self) -> int:
        return max(WINDOW - self.inbox.backlog().by_lane[Lane.REPLAY], 0)

    def _take_result(self, result: RequeueResult) -> None:
        key = result.target.key
        match result.status:
            case RequeueStatus.QUEUED | RequeueStatus.ALREADY_QUEUED:
                self.in_progress[key] = result.target
            case RequeueStatus.LOCKED:
                self.todo.append(result.target)
            case RequeueStatus.PENDING if self.wait:
                self.todo.append(result.target)
            case RequeueStatus.PENDING:
                self._record(key, ReplayStatus.IN_PROGRESS, "it was in the inbox already")
            case RequeueStatus.RESOLVED:
                self._record(key, ReplayStatus.RESOLVED_ELSEWHERE, result.detail)
            case RequeueStatus.INVALID:
                self._record(key, ReplayStatus.FAILED, result.detail)
            case RequeueStatus.ALREADY_SETTLED:
                self._record(key, ReplayStatus.ALREADY_SETTLED)
            case RequeueStatus.EXCLUDED:
                self._record(key, ReplayStatus.EXCLUDED, result.detail)

    def _check_results(self) -> None:
        now = self.pace.clock()
        if self.wait and self.in_progress and now - self._checked_at >= CHECK_SECONDS:
            self._checked_at = now
            self.stall_reason = _stall_reason(self.inbox.backlog())
            self._collect_results()

    def _collect_results(self) -> None:
        """Query the inbox before the audit: an event that leaves it has left its trace by then."""
        keys = list(self.in_progress)
        inside = set(self.inbox.pending(keys))
        with self.engine.connect() as connection:
            traces = find_traces(connection, keys, self.mark)
        for key in keys:
            if trace := traces.get(key):
                self._settle(key, *status_of_trace(trace))
            elif key not in inside:
                self._settle(
                    key, ReplayStatus.LOST, "it left the inbox without a result; replay it"
                )

    def _settle(self, key: str, status: ReplayStatus, detail: str) -> None:
        del self.in_progress[key]
        self._record(key, status, detail)

    def _record(self, key: str, status: ReplayStatus, detail: str = "") -> None:
        self.results[key] = ReplayResult(key=key, status=status, detail=detail)

    def _finish(self) -> None:
        for target in self.todo:
            self._record(target.key, ReplayStatus.NOT_STARTED)
        if not self.wait:
            for key in self.in_progress:
                self._record(key, ReplayStatus.QUEUED)
        elif self.in_progress:
            self._collect_results()
            for peeked in self.inbox.peek(list(self.in_progress)):
                self._record(peeked.key, ReplayStatus.IN_PROGRESS, why_it_waits(peeked))


def _stall_reason(backlog: Backlog) -> str | None:
    if backlog.breaker is not None:
        return f"the circuit breaker is open, no event is applied: {backlog.breaker.reason}"
    return None if backlog.processes else "no worker is running: start `paidup worker`"


def status_of_trace(trace: ReplayTrace) -> tuple[ReplayStatus, str]:
    """Return the status and details for what the audit records about an event."""
    if trace.action == DEAD_LETTERED:
        return ReplayStatus.FAILED, f"{trace.after.get('error_type')}: {trace.reason}"
    if trace.action == RESOLVED:
        return ReplayStatus.APPLIED, f"by a delivery from {trace.actor}"
    return status_of_outcome(Outcome(trace.after["outcome"]), trace.after.get("reason"))


def status_of_outcome(outcome: Outcome, reason: str | None) -> tuple[ReplayStatus, str]:
    """Return the status and details for an outcome that the ledger decided."""
    if reason == ALREADY_APPLIED:
        return ReplayStatus.ALREADY_APPLIED, ""
    status = {
        Outcome.APPLIED: ReplayStatus.APPLIED,
        Outcome.SUPERSEDED: ReplayStatus.SUPERSEDED,
        Outcome.IGNORED: ReplayStatus.IGNORED,
    }[outcome]
    return status, reason or ""


def why_it_waits(peeked: PeekedEvent) -> str:
    """Return why an event is still in the inbox."""
    if error := peeked.history.get("last_error"):
        return f"it waits for its next try after {error}"
    return "a worker has it" if peeked.state == "claimed" else "it waits for a worker"
