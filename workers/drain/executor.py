"""A claimed batch becomes one verdict for each of its events.

All in one transaction; if that fails, one by one, so that a bad event hurts nobody else. A server
that is away, or a schema of another release, would fail every one of them: then nobody is tried.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from runtime.failures.classify import Failure, Infrastructure, Outdated, Unexpected, classify
from runtime.inbox.entries import Entry
from runtime.ledger.deliveries import Delivery, Settlement
from workers.drain.decode import history_of, read
from workers.drain.retry_policy import Defer, Finish, GiveBack, Verdict, judge
from workers.drain.routing import NO_ERRANDS, Errands
from workers.ports import Recorder

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """An event and what becomes of it."""

    entry: Entry
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The verdicts on a batch, and what made further batches pointless, if anything did."""

    decided: tuple[Decided, ...]
    halted_by: Infrastructure | Outdated | None = None

    def __add__(self, other: "Applied") -> "Applied":
        return Applied(
            decided=self.decided + other.decided, halted_by=self.halted_by or other.halted_by
        )


Readable = tuple[Entry, Delivery]
"""An entry and what the ledger is to record of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applier:
    """Applies batches; clock and chance are handed in, so that tests can hold both."""

    recorder: Recorder
    now: Callable[[], datetime]
    chance: Callable[[], float]
    errands: Errands = NO_ERRANDS

    def apply(self, entries: Sequence[Entry], *, may_go_on: Callable[[], bool]) -> Applied:
        """One verdict for each entry; those not begun when ``may_go_on`` ends are given back."""
        readable: list[Readable] = []
        unread: list[Decided] = []
        for entry in entries:
            match read(entry):
                case Delivery() as delivery:
                    readable.append((entry, delivery))
                case verdict:
                    unread.append(Decided(entry=entry, verdict=verdict))
        applied = Applied(decided=tuple(unread))
        if any(delivery.envelope.thin for _, delivery in readable):
            readable, apart = self._set_apart(readable)
            applied += apart
        return applied + self.together(readable, may_go_on) if readable else applied

    def _set_apart(self, batch: list[Readable]) -> tuple[list[Readable], Applied]:
        """What can be recorded now, and the verdicts on what has to be fetched first."""
        try:
            recalled = self.recorder.recalled([delivery for _, delivery in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is, it becomes a verdict
            failure = classify(error)
            _tell(failure, error, batch)
            halted_by = failure if isinstance(failure, Infrastructure | Outdated) else None
            return [], Applied(decided=self._judged(batch, failure), halted_by=halted_by)
        ready: list[Readable] = []
        deferred: list[Decided] = []
        for (entry, _), delivery in zip(batch, recalled, strict=True):
            match self.errands.sort(delivery):
                case Defer() as verdict:
                    deferred.append(Decided(entry=entry, verdict=verdict))
                case sorted_out:
                    ready.append((entry, sorted_out))
        return ready, Applied(decided=tuple(deferred))

    def together(self, batch: list[Readable], may_go_on: Callable[[], bool]) -> Applied:
        """Record deliveries in one transaction, and one by one if that fails."""
        failure, decided = self._try(batch)
        if failure is None:
            return Applied(decided=decided)
        if isinstance(failure, Infrastructure | Outdated):
            return Applied(decided=self._judged(batch, failure), halted_by=failure)
        if len(batch) == 1:
            return Applied(decided=self._judged(batch, failure))
        return self._one_by_one(batch, may_go_on)

    def _one_by_one(self, batch: list[Readable], may_go_on: Callable[[], bool]) -> Applied:
        applied = Applied(decided=())
        for begun, readable in enumerate(batch):
            if applied.halted_by is not None:
                return applied + Applied(decided=self._judged(batch[begun:], applied.halted_by))
            if not may_go_on():
                return applied + Applied(decided=_given_back(batch[begun:]))
            applied += self.together([readable], may_go_on)
        return applied

    def _try(self, batch: list[Readable]) -> tuple[Failure | None, tuple[Decided, ...]]:
        started = time.perf_counter()
        try:
            settlements = self.recorder.record([delivery for _, delivery in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is, it becomes a verdict
            failure = classify(error)
            _tell(failure, error, batch)
            return failure, ()
        seconds = time.perf_counter() - started
        by_key = {settlement.key: settlement for settlement in settlements}
        return None, tuple(
            Decided(entry=entry, verdict=self._finish(by_key[entry.key], delivery, seconds))
            for entry, delivery in batch
        )

    def _finish(self, settlement: Settlement, delivery: Delivery, seconds: float) -> Finish:
        fetch = bool(settlement.errand) and self.errands.may_fetch(delivery.envelope)
        return Finish(settlement=settlement, seconds=seconds, fetch=fetch)

    def _judged(self, batch: Sequence[Readable], failure: Failure) -> tuple[Decided, ...]:
        return tuple(
            Decided(
                entry=entry,
                verdict=judge(failure, history_of(entry), now=self.now(), chance=self.chance()),
            )
            for entry, _ in batch
        )


def _given_back(batch: Sequence[Readable]) -> tuple[Decided, ...]:
    return tuple(Decided(entry=entry, verdict=GiveBack()) for entry, _ in batch)


def _tell(failure: Failure, error: Exception, batch: Sequence[Readable]) -> None:
    told = {"failure": type(failure).__name__, "error_type": failure.error_type}
    if isinstance(failure, Unexpected):
        log.error("batch failed", events=len(batch), reason=failure.reason, exc_info=error, **told)
    else:
        log.warning("batch failed", events=len(batch), reason=failure.reason, **told)
