"""Record a claimed batch and decide the disposition of each of its events.

The whole batch is one transaction. If that fails, each event is tried alone, so that a bad event
does not hold up the others. If the server is unavailable, or the schema is of another release,
every event would fail, so none is tried alone.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from runtime.failures.classify import Failure, Infrastructure, Outdated, Unexpected, classify
from runtime.inbox.entries import InboxEntry
from runtime.ledger.deliveries import Delivery, Settlement
from workers.batches.decode import claim_history, read_delivery
from workers.batches.retry_policy import Defer, Disposition, Finish, Release, disposition_after
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

    def __add__(self, other: "BatchResult") -> "BatchResult":
        return BatchResult(
            dispositions=self.dispositions + other.dispositions,
            halted_by=self.halted_by or other.halted_by,
        )


Readable = tuple[InboxEntry, Delivery]
"""An entry and its delivery."""

RecordBatch = Callable[[Sequence[Delivery]], list[Settlement]]
"""Settle all deliveries in one transaction, or raise and settle none."""

AddStoredFetches = Callable[[Sequence[Delivery]], list[Delivery]]
"""Add to each replay the API answers that are stored for its event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchExecutor:
    """Records batches; ``now`` and ``chance`` are passed in so that tests can fix them."""

    record: RecordBatch
    with_stored_fetches: AddStoredFetches
    now: Callable[[], datetime]
    chance: Callable[[], float]
    routing: FetchRouting = NO_FETCHING

    def execute(self, entries: Sequence[InboxEntry], may_go_on: Callable[[], bool]) -> BatchResult:
        """Return one disposition for each entry; a stop releases those not started."""
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
        return result + self.record_together(readable, may_go_on) if readable else result

    def _route(self, batch: list[Readable]) -> tuple[list[Readable], BatchResult]:
        """Return the entries that can be recorded now, and the dispositions of the others."""
        try:
            deliveries = self.with_stored_fetches([delivery for _, delivery in batch])
        except Exception as error:  # noqa: BLE001 - every error becomes a disposition
            failure = classify(error)
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

    def record_together(self, batch: list[Readable], may_go_on: Callable[[], bool]) -> BatchResult:
        """Record deliveries in one transaction, and one by one if that fails."""
        failure, dispositions = self._try(batch)
        if failure is None:
            return BatchResult(dispositions=dispositions)
        if isinstance(failure, Infrastructure | Outdated):
            return BatchResult(dispositions=self._all_failed(batch, failure), halted_by=failure)
        if len(batch) == 1:
            return BatchResult(dispositions=self._all_failed(batch, failure))
        return self._one_by_one(batch, may_go_on)

    def _one_by_one(self, batch: list[Readable], may_go_on: Callable[[], bool]) -> BatchResult:
        result = BatchResult(dispositions=())
        for started, readable in enumerate(batch):
            rest = batch[started:]
            if result.halted_by is not None:
                failed = self._all_failed(rest, result.halted_by)
                return result + BatchResult(dispositions=failed)
            if not may_go_on():
                released = (
                    EventDisposition(entry=entry, disposition=Release()) for entry, _ in rest
                )
                return result + BatchResult(dispositions=tuple(released))
            result += self.record_together([readable], may_go_on)
        return result

    def _try(self, batch: list[Readable]) -> tuple[Failure | None, tuple[EventDisposition, ...]]:
        started = time.perf_counter()
        try:
            settlements = self.record([delivery for _, delivery in batch])
        except Exception as error:  # noqa: BLE001 - every error becomes a disposition
            failure = classify(error)
            _log_failure(failure, error, batch)
            return failure, ()
        seconds = time.perf_counter() - started
        by_key = {settlement.key: settlement for settlement in settlements}
        return None, tuple(
            EventDisposition(
                entry=entry, disposition=self._finish(by_key[entry.key], delivery, seconds)
            )
            for entry, delivery in batch
        )

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


def _log_failure(failure: Failure, error: Exception, batch: Sequence[Readable]) -> None:
    fields = {"failure": type(failure).__name__, "error_type": failure.error_type}
    if isinstance(failure, Unexpected):
        log.error(
            "batch failed", events=len(batch), reason=failure.reason, exc_info=error, **fields
        )
    else:
        log.warning("batch failed", events=len(batch), reason=failure.reason, **fields)
