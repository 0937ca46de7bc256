"""Record a claimed batch and decide the disposition of each of its events.

The whole batch is one transaction. If that fails, it is split by halves until the bad event is
alone, so that it does not hold up the others, however slowly it fails: what was not begun in time
is claimed alone next. If the server is unavailable, or the schema is of another release, every
event would fail, so nothing more is tried. The same is true if the surroundings are at fault, which
``canary`` finds out before an event is charged.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import structlog

from runtime.failures.classify import (
    Failure,
    Infrastructure,
    Outdated,
    Unexpected,
    classify,
    lacks_right,
    may_concern_every_event,
)
from runtime.inbox.entries import InboxEntry
from runtime.ledger.deliveries import Delivery, Settlement
from runtime.time_limits import BATCH_LOCK_SECONDS, LOCK_SECONDS, SPLIT_SECONDS
from workers.batches.decode import claim_history, read_delivery
from workers.batches.retry_policy import (
    Defer,
    Disposition,
    Finish,
    Release,
    Retry,
    SetApart,
    Suspect,
    disposition_after,
)
from workers.batches.routing import NO_FETCHING, FetchRouting

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDisposition:
    """A claimed event and its disposition."""

    entry: InboxEntry
    disposition: Disposition


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """The dispositions of a batch; ``halted_by`` is the failure that makes another one futile."""

    dispositions: tuple[EventDisposition, ...]
    halted_by: Infrastructure | Outdated | None = None
    divided: bool = False
    """True if it failed as a whole, and its parts were tried in transactions of their own."""

    @property
    def rests(self) -> bool:
        """True if the partition of one of its events waits, because its party is locked."""
        retries = (each.disposition for each in self.dispositions)
        return any(isinstance(retry, Retry) and retry.rest_seconds > 0 for retry in retries)

    def __add__(self, other: "BatchResult") -> "BatchResult":
        return BatchResult(
            dispositions=self.dispositions + other.dispositions,
            halted_by=self.halted_by or other.halted_by,
            divided=self.divided or other.divided,
        )


Readable = tuple[InboxEntry, Delivery]
"""An entry and its delivery."""

FailedAlone = tuple[Readable, Failure]
"""An event that failed in a transaction of its own, and how."""

RecordBatch = Callable[[Sequence[Delivery], float], list[Settlement]]
"""Settle deliveries in one transaction, or raise and settle none; wait so many seconds for a lock.

A delivery without a settlement was not decided in time; it is as if it had not been given.
"""

AddStoredFetches = Callable[[Sequence[Delivery]], list[Delivery]]
"""Add to each replay the API answers that are stored for its event."""

AskCanary = Callable[[Sequence[Failure]], Infrastructure | Outdated | None]
"""Return the fault that makes every event fail like this, or None."""

ENOUGH_ALIKE: Final = 3
"""So many parties whose events failed alike are reason to ask before the rest of a batch fails."""


def no_canary(_: Sequence[Failure]) -> None:
    """Return None: every failure is the event's own."""


def own_if_right(failure: Failure, ask_canary: AskCanary) -> Failure:
    """Return a missing right as the event's own failure, unless built-in events lack it, too."""
    if lacks_right(failure) and ask_canary([failure]) is None:
        return Unexpected(error_type=failure.error_type, reason=failure.reason)
    return failure


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchExecutor:
    """Records batches; times and ``chance`` are passed in so that tests can fix them.

    ``clock`` is monotonic seconds.
    """

    record: RecordBatch
    with_stored_fetches: AddStoredFetches
    now: Callable[[], datetime]
    chance: Callable[[], float]
    routing: FetchRouting = NO_FETCHING
    clock: Callable[[], float] = time.monotonic
    ask_canary: AskCanary = no_canary

    def execute(
        self, entries: Sequence[InboxEntry], is_stopping: Callable[[], bool]
    ) -> BatchResult:
        """Return one disposition for each entry."""
        readable: list[Readable] = []
        rejected: list[EventDisposition] = []
        for entry in entries:
            match read_delivery(entry):
                case Delivery() as delivery:
                    readable.append((entry, delivery))
                case disposition:
                    rejected.append(EventDisposition(entry=entry, disposition=disposition))
        result = BatchResult(dispositions=tuple(rejected))
        if any(delivery.envelope.thin for _, delivery in readable):
            readable, routed = self._route(readable)
            result += routed
        return result + self.record_together(readable, is_stopping) if readable else result

    def _route(self, batch: list[Readable]) -> tuple[list[Readable], BatchResult]:
        """Return the entries that can be recorded now, and the dispositions of the others."""
        try:
            deliveries = self.with_stored_fetches([delivery for _, delivery in batch])
        except Exception as error:  # noqa: BLE001 - every error becomes a disposition
            failure = self.cause_of(error)
            _log_failure(failure, error, batch)
            halted_by = failure if isinstance(failure, Infrastructure | Outdated) else None
            return [], BatchResult(
                dispositions=self._all_failed(batch, failure), halted_by=halted_by
            )
        ready: list[Readable] = []
        deferred: list[EventDisposition] = []
        for (entry, _), delivery in zip(batch, deliveries, strict=True):
            match self.routing.route(delivery):
                case Defer() as disposition:
                    deferred.append(EventDisposition(entry=entry, disposition=disposition))
                case routed:
                    ready.append((entry, routed))
        return ready, BatchResult(dispositions=tuple(deferred))

    def record_together(
        self, batch: list[Readable], is_stopping: Callable[[], bool]
    ) -> BatchResult:
        """Record deliveries in one transaction, and if that fails, in smaller and smaller ones."""
        ends_at = self.clock() + SPLIT_SECONDS
        lock_seconds = LOCK_SECONDS if len(batch) == 1 else BATCH_LOCK_SECONDS
        result = BatchResult(dispositions=())
        parts, resting = [batch], set[str]()
        undecided, asked = list[FailedAlone](), False
        while parts:
            if not (part := parts.pop()):
                continue
            if (halted_by := result.halted_by) is not None:
                undecided += [(each, halted_by) for each in part]
            elif resting and (waiting := [each for each in part if _partition(each) in resting]):
                result += _all(waiting, Release())
                parts.append([each for each in part if _partition(each) not in resting])
            elif part is not batch and (is_stopping() or self.clock() >= ends_at):
                result += _all(part, Suspect())
            elif isinstance(tried := self._try(part, lock_seconds), BatchResult):
                result += tried
                if tried.rests:
                    resting.update(map(_partition, part))
            elif len(part) > 1:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
                result = replace(result, divided=True)
            else:
                undecided.append((part[0], tried))
                if not asked and _failed_alike(undecided) >= ENOUGH_ALIKE:
                    result, undecided, asked = result + self._charge(undecided), [], True
        return result + self._charge(undecided, result.halted_by)

    def _charge(
        self, undecided: Sequence[FailedAlone], halted_by: Infrastructure | Outdated | None = None
    ) -> BatchResult:
        """Charge each of these events with its failure, unless every event would fail alike."""
        if not undecided:
            return BatchResult(dispositions=())
        fault = halted_by or self.ask_canary([failure for _, failure in undecided])
        if fault is not None:
            every = [readable for readable, _ in undecided]
            return BatchResult(dispositions=self._all_failed(every, fault), halted_by=fault)
        return BatchResult(
            dispositions=tuple(
                disposition
                for readable, failure in undecided
                for disposition in self._all_failed([readable], failure)
            )
        )

    def cause_of(self, error: Exception) -> Failure:
        """Classify an error; ask the canary if every event may meet it."""
        failure = own_if_right(classify(error), self.ask_canary)
        if not may_concern_every_event(failure):
            return failure
        return self.ask_canary([failure]) or failure

    def _try(self, part: list[Readable], lock_seconds: float) -> BatchResult | Failure:
        """Record in one transaction; return the failure if it may be that of a single event."""
        started = time.perf_counter()
        try:
            settlements = self.record([delivery for _, delivery in part], lock_seconds)
        except Exception as error:  # noqa: BLE001 - every error becomes a disposition
            failure = own_if_right(classify(error), self.ask_canary)
            _log_failure(failure, error, part)
            return self._after_failure(part, failure)
        seconds = time.perf_counter() - started
        by_key = {settlement.key: settlement for settlement in settlements}
        return BatchResult(
            dispositions=tuple(
                EventDisposition(
                    entry=entry, disposition=self._after(by_key.get(entry.key), delivery, seconds)
                )
                for entry, delivery in part
            )
        )

    def _after_failure(self, part: list[Readable], failure: Failure) -> BatchResult | Failure:
        if isinstance(failure, Infrastructure | Outdated):
            return BatchResult(dispositions=self._all_failed(part, failure), halted_by=failure)
        if len(part) == 1 and not may_concern_every_event(failure):
            return BatchResult(dispositions=self._all_failed(part, failure))
        return failure

    def _after(
        self, settlement: Settlement | None, delivery: Delivery, seconds: float
    ) -> Finish | SetApart:
        return SetApart() if settlement is None else self._finish(settlement, delivery, seconds)

    def _finish(self, settlement: Settlement, delivery: Delivery, seconds: float) -> Finish:
        fetch = bool(settlement.pending_fetches) and self.routing.may_fetch(delivery.envelope)
        return Finish(settlement=settlement, seconds=seconds, fetch=fetch)

    def _all_failed(
        self, batch: Sequence[Readable], failure: Failure
    ) -> tuple[EventDisposition, ...]:
        return tuple(
            EventDisposition(
                entry=entry,
                disposition=disposition_after(
                    failure, claim_history(entry), now=self.now(), chance=self.chance()
                ),
            )
            for entry, _ in batch
        )


def _failed_alike(failed: Sequence[FailedAlone]) -> int:
    """Return the most partitions whose events failed with the same type of error."""
    kinds = {(failure.error_type, _partition(readable)) for readable, failure in failed}
    return max(Counter(error_type for error_type, _ in kinds).values(), default=0)


def _partition(readable: Readable) -> str:
    return readable[1].envelope.partition


def _all(part: Sequence[Readable], disposition: Disposition) -> BatchResult:
    return BatchResult(
        dispositions=tuple(
            EventDisposition(entry=entry, disposition=disposition) for entry, _ in part
        )
    )


def _log_failure(failure: Failure, error: Exception, batch: Sequence[Readable]) -> None:
    fields = {"failure": type(failure).__name__, "error_type": failure.error_type}
    if isinstance(failure, Unexpected):
        log.error(
            "batch failed", events=len(batch), reason=failure.reason, exc_info=error, **fields
        )
    else:
        log.warning("batch failed", events=len(batch), reason=failure.reason, **fields)
