"""Obeys the verdicts on a batch, each kind in one go, the database's part first.

What cannot be buried now stays in the inbox, parked: an event is never in no place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, assert_never

import structlog

from runtime.broker import Publish
from runtime.event_keys import key_apart
from runtime.failures.classify import Failure, Infrastructure, Outdated, classify
from runtime.failures.dead_letters import UNBURIED, Burial
from runtime.inbox.entries import Deferred, Entry, Finished, Parked
from runtime.ledger.deliveries import REPLAY, Settlement
from runtime.ledger.errors import IDENTITY_CONFLICT
from workers import ports
from workers.drain.decode import type_of
from workers.drain.executor import Applied, Decided
from workers.drain.reporting import Reporter
from workers.drain.retry_policy import AWAY_SECONDS, Bury, Defer, Finish, GiveBack, Park

log = structlog.get_logger(__name__)

UNBURIED_SECONDS: Final = AWAY_SECONDS


@dataclass(slots=True)
class _Sorted:
    finish: list[tuple[Entry, Finish]] = field(default_factory=list)
    park: list[tuple[Entry, Park]] = field(default_factory=list)
    bury: list[tuple[Entry, Bury]] = field(default_factory=list)
    defer: list[Entry] = field(default_factory=list)
    give_back: bool = False

    def add(self, decided: Decided) -> None:
        """The one place that knows every verdict there is."""
        match decided.verdict:
            case Finish() as finish:
                self.finish.append((decided.entry, finish))
            case Park() as park:
                self.park.append((decided.entry, park))
            case Bury() as bury:
                self.bury.append((decided.entry, bury))
            case Defer():
                self.defer.append(decided.entry)
            case GiveBack():
                self.give_back = True
            case _:
                assert_never(decided.verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferring:
    """Where events go that Stripe's API has to be asked about, and who is woken for them."""

    lane: ports.Lane
    publish: Publish

    def __call__(self, token: str, deferred: Sequence[Deferred]) -> None:
        """Move them, and wake whoever is owed to them."""
        wake = self.lane.defer(token, deferred).wake
        if wake is not None and not self.publish(wake):
            self.lane.leave(wake, hand_on=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """Carries verdicts out in the inbox and the dead letters, and tells what was done."""

    inbox: ports.Inbox
    bury: ports.Bury
    reporter: Reporter
    now: Callable[[], datetime]
    deferring: Deferring | None = None

    def obey(self, token: str, applied: Applied) -> Infrastructure | Outdated | None:
        """Do what was decided; says what makes a further batch pointless, if anything does."""
        todo = _Sorted()
        for decided in applied.decided:
            todo.add(decided)
        stopped_by = self._bury(token, todo, applied.halted_by)
        self._finish(token, [each for each in todo.finish if not each[1].fetch])
        self._defer(token, todo)
        self._park(token, todo.park)
        if todo.give_back:
            self.inbox.give_back(token)
        return stopped_by if isinstance(stopped_by, Infrastructure | Outdated) else None

    def _bury(
        self, token: str, todo: _Sorted, halted_by: Infrastructure | Outdated | None
    ) -> Failure | None:
        if not todo.bury:
            return halted_by
        failure = halted_by or self._try_to_bury(token, todo)
        if failure is not None:
            why = f"{UNBURIED} ({failure.error_type})"
            todo.park += [(entry, _unburied(bury, why)) for entry, bury in todo.bury]
        return failure

    def _try_to_bury(self, token: str, todo: _Sorted) -> Failure | None:
        try:
            self.bury([_burial(entry, bury, self.now()) for entry, bury in todo.bury])
        except Exception as error:
            failure = classify(error)
            log.exception("burial failed", failure=type(failure).__name__)
            return failure
        self.inbox.discard(token, [entry.key for entry, _ in todo.bury])
        for entry, bury in todo.bury:
            self.reporter.buried(entry, bury)
        return None

    def _finish(self, token: str, finishes: list[tuple[Entry, Finish]]) -> None:
        if not finishes:
            return
        # Told before the inbox knows: COMMIT made it true, and if Redis is away now, the next
        # claim of these events finds hits and not a settlement to tell of.
        for entry, finish in finishes:
            self.reporter.settled(entry, finish)
        closed = self.inbox.finish(
            token,
            [_finished(finish.settlement) for _, finish in finishes],
            settlement=_newest(finishes),
        )
        if closed.rewound:
            dropped = self.inbox.drop_done_markers()
            # What it forgot is not here any more; docs/operations.md has the whole way back.
            log.critical(
                "database went back in time: have Stripe send again what came since its backup",
                done_markers_dropped=dropped,
            )

    def _defer(self, token: str, todo: _Sorted) -> None:
        """Unsettled ones as they are; settled ones with their result, for the rest of it."""
        settled = [each for each in todo.finish if each[1].fetch]
        if not settled and not todo.defer:
            return
        assert self.deferring is not None, "without a key nothing is fetched"  # noqa: S101
        for entry, finish in settled:
            self.reporter.settled(entry, finish)
        waiting = [Deferred(key=entry.key) for entry in todo.defer]
        self.deferring(token, [*waiting, *(_deferred(finish) for _, finish in settled)])
        for entry in (*todo.defer, *(entry for entry, _ in settled)):
            self.reporter.deferred(entry)

    def _park(self, token: str, parks: list[tuple[Entry, Park]]) -> None:
        if not parks:
            return
        self.inbox.park(token, [_parked(entry, park) for entry, park in parks])
        for entry, park in parks:
            self.reporter.parked(entry, park)


def _finished(settlement: Settlement) -> Finished:
    result: dict[str, Any] = {
        "outcome": str(settlement.outcome),
        "applied_at": settlement.applied_at.isoformat(),
        "attempts": settlement.attempts,
    }
    return Finished(key=settlement.key, fingerprint=settlement.fingerprint, result=result)


def _deferred(finish: Finish) -> Deferred:
    return Deferred(key=finish.settlement.key, settled=_finished(finish.settlement))


def _newest(finishes: list[tuple[Entry, Finish]]) -> int | None:
    """The highest number the database gave just now; all others' may be old ones."""
    numbers = (
        finish.settlement.settlement
        for entry, finish in finishes
        if not (finish.settlement.hit or finish.settlement.completes) and entry.origin != REPLAY
    )
    return max(numbers, default=None)


def _unburied(bury: Bury, why: str) -> Park:
    error = f"{why}: {bury.error_type}: {bury.error}"
    return Park(delay_seconds=UNBURIED_SECONDS, charged=False, error=error)


def _parked(entry: Entry, park: Park) -> Parked:
    return Parked(
        key=entry.key, delay_seconds=park.delay_seconds, charged=park.charged, error=park.error
    )


def _letter_key(entry: Entry, bury: Bury) -> str:
    """The letter of an event whose id is another's must not stand under that id."""
    if bury.error_type != IDENTITY_CONFLICT or "#" in entry.key:
        return entry.key
    return key_apart(entry.key, entry.body)


def _burial(entry: Entry, bury: Bury, now: datetime) -> Burial:
    return Burial(
        key=_letter_key(entry, bury),
        event_type=type_of(entry.body),
        body=entry.body,
        error_type=bury.error_type,
        error=bury.error,
        attempts=entry.attempts + 1,
        origin=entry.origin,
        received_at=entry.received_at,
        first_failed_at=entry.first_failed_at or now,
        failed_at=now,
    )
