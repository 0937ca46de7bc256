"""Carry out the dispositions of a batch, each kind in one call, PostgreSQL before Redis.

An event whose dead letter cannot be written stays in the inbox, snoozed: an event is always in
the inbox, in the ledger or in the dead letters.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, assert_never

import structlog

from runtime.broker import Publish
from runtime.event_keys import conflict_key
from runtime.failures.classify import Failure, Infrastructure, Outdated, Transient, classify
from runtime.failures.dead_letters import DEAD_LETTER_PENDING, DeadLetterDraft
from runtime.inbox.entries import Deferred, Finished, InboxEntry, Parked
from runtime.inbox.service_times import BatchTime
from runtime.ledger.deliveries import Settlement, discard_undone_by
from runtime.ledger.errors import IDENTITY_CONFLICT
from runtime.time_limits import OUTAGE_SECONDS
from workers.batches.decode import event_type_of
from workers.batches.executor import (
    AskCanary,
    BatchResult,
    EventDisposition,
    no_canary,
    own_if_right,
)
from workers.batches.reporting import Reporter
from workers.batches.retry_policy import (
    Defer,
    Finish,
    MoveToDeadLetters,
    Release,
    Retry,
    SetApart,
    Snooze,
    Suspect,
)
from workers.ports import ClaimedEvents, DeferralQueue

log = structlog.get_logger(__name__)

WriteDeadLetters = Callable[[Sequence[DeadLetterDraft]], None]
"""Write all dead letters, or raise and write none."""


_Dead = tuple[InboxEntry, MoveToDeadLetters]


@dataclass(slots=True)
class _ByKind:
    finish: list[tuple[InboxEntry, Finish]] = field(default_factory=list)
    park: list[tuple[InboxEntry, Snooze | Retry]] = field(default_factory=list)
    dead: list[_Dead] = field(default_factory=list)
    defer: list[InboxEntry] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)
    suspect: list[str] = field(default_factory=list)
    release: bool = False

    def add(self, decided: EventDisposition) -> None:
        """Sort one disposition; this match is the only one over all kinds."""
        match decided.disposition:
            case Finish() as finish:
                self.finish.append((decided.entry, finish))
            case Snooze() | Retry() as park:
                self.park.append((decided.entry, park))
            case MoveToDeadLetters() as dead:
                self.dead.append((decided.entry, dead))
            case Defer():
                self.defer.append(decided.entry)
            case SetApart():
                self.apart.append(decided.entry.key)
            case Suspect():
                self.suspect.append(decided.entry.key)
            case Release():
                self.release = True
            case _:
                assert_never(decided.disposition)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchDeferrer:
    """Moves events to the fetch lane and wakes a fetcher for them."""

    lane: DeferralQueue
    publish: Publish

    def defer(self, token: str, deferred: Sequence[Deferred]) -> None:
        """Move events, and publish the wake-up that is owed for them."""
        wake = self.lane.defer(token, deferred).wake
        if wake is not None and not self.publish(wake):
            self.lane.leave(wake, hand_on=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finisher:
    """Carries out dispositions in the inbox and the dead letters, and reports each."""

    inbox: ClaimedEvents
    write_dead_letters: WriteDeadLetters
    reporter: Reporter
    now: Callable[[], datetime]
    fetch_deferrer: FetchDeferrer | None = None
    ask_canary: AskCanary = no_canary

    def finish(
        self, token: str, result: BatchResult, *, began: float | None = None
    ) -> Infrastructure | Outdated | None:
        """Carry out a batch's dispositions; return the failure that makes another one futile.

        ``began`` is when its events were claimed, in seconds of the performance counter.
        """
        todo = _ByKind()
        for decided in result.dispositions:
            todo.add(decided)
        failure = self._move_to_dead_letters(token, todo, result.halted_by)
        self._take_out(token, todo, None if result.divided else began)
        self._defer(token, todo)
        self._park(token, todo.park)
        if todo.apart:
            self.inbox.set_apart(token, todo.apart)
        if todo.suspect:
            self.inbox.suspect(token, todo.suspect)
        if todo.release:
            self.inbox.release(token)
        return failure if isinstance(failure, Infrastructure | Outdated) else None

    def _move_to_dead_letters(
        self, token: str, todo: _ByKind, halted_by: Infrastructure | Outdated | None
    ) -> Failure | None:
        """Write dead letters in one transaction; if one is refused, each in a transaction."""
        futile: Failure | None = halted_by
        parts = [todo.dead] if todo.dead else []
        while parts:
            part = parts.pop()
            failure = futile or self._try_to_move(token, part)
            if isinstance(failure, Infrastructure | Outdated | Transient):
                futile = failure
            elif failure is not None and len(part) > 1:
                parts += [[each] for each in reversed(part)]
                continue
            if failure is not None:
                why = f"{DEAD_LETTER_PENDING} ({failure.error_type})"
                todo.park += [(entry, _pending(dead, why)) for entry, dead in part]
        return futile

    def _try_to_move(self, token: str, part: list[_Dead]) -> Failure | None:
        try:
            self.write_dead_letters([_draft(entry, dead, self.now()) for entry, dead in part])
        except Exception as error:
            failure = own_if_right(classify(error), self.ask_canary)
            log.exception("dead letters not written", failure=type(failure).__name__)
            return failure
        self.inbox.discard(token, [entry.key for entry, _ in part])
        for entry, dead in part:
            self.reporter.dead_lettered(entry, dead)
        return None

    def _take_out(self, token: str, todo: _ByKind, began: float | None) -> None:
        """Take settled events out of the inbox, with the time from their claim if that is known."""
        finishes = [each for each in todo.finish if not each[1].fetch]
        if not finishes:
            return
        # Report before the inbox call: COMMIT made it true. If Redis is unreachable now, the next
        # claim of these events finds hits and has nothing to report.
        for entry, finish in finishes:
            self.reporter.settled(entry, finish)
        finished = [_finished(finish.settlement) for _, finish in finishes]
        self.inbox.finish(token, finished, _time_of(todo.finish, began))

    def _defer(self, token: str, todo: _ByKind) -> None:
        """Defer unsettled events, and events whose settlement Stripe's API must complete."""
        settled = [each for each in todo.finish if each[1].fetch]
        if not settled and not todo.defer:
            return
        assert self.fetch_deferrer is not None, "without a key nothing is fetched"  # noqa: S101
        for entry, finish in settled:
            self.reporter.settled(entry, finish)
        unsettled = [Deferred(key=entry.key) for entry in todo.defer]
        self.fetch_deferrer.defer(
            token, [*unsettled, *(_deferred(finish) for _, finish in settled)]
        )
        for entry in (*todo.defer, *(entry for entry, _ in settled)):
            self.reporter.deferred(entry)

    def _park(self, token: str, parks: list[tuple[InboxEntry, Snooze | Retry]]) -> None:
        if not parks:
            return
        self.inbox.park(token, [_parked(entry, park) for entry, park in parks])
        for entry, park in parks:
            self.reporter.parked(entry, park)


def _time_of(settled: Sequence[tuple[InboxEntry, Finish]], began: float | None) -> BatchTime | None:
    if began is None:
        return None
    return BatchTime(
        events=len(settled),
        seconds=time.perf_counter() - began,
        body_bytes=sum(len(entry.body) for entry, _ in settled),
    )


def _finished(settlement: Settlement) -> Finished:
    result: dict[str, Any] = {
        "outcome": str(settlement.outcome),
        "applied_at": settlement.applied_at.isoformat(),
        "attempts": settlement.attempts,
    }
    return Finished(
        key=settlement.key,
        event_id=settlement.event_id,
        fingerprint=settlement.fingerprint,
        settlement=settlement.settlement,
        database_epoch=settlement.database_epoch,
        result=result,
    )


def _deferred(finish: Finish) -> Deferred:
    return Deferred(key=finish.settlement.key, settled=_finished(finish.settlement))


def _pending(dead: MoveToDeadLetters, why: str) -> Snooze:
    return Snooze(delay_seconds=OUTAGE_SECONDS, error=f"{why}: {dead.error_type}: {dead.error}")


def _parked(entry: InboxEntry, park: Snooze | Retry) -> Parked:
    return Parked(
        key=entry.key,
        delay_seconds=park.delay_seconds,
        charged=isinstance(park, Retry),
        error=park.error,
        rest_seconds=park.rest_seconds if isinstance(park, Retry) else 0.0,
    )


def _dead_letter_key(entry: InboxEntry, dead: MoveToDeadLetters) -> str:
    """Return a key of its own for an event whose id belongs to another event."""
    if dead.error_type != IDENTITY_CONFLICT or "#" in entry.key:
        return entry.key
    return conflict_key(entry.key, entry.body)


def _draft(entry: InboxEntry, dead: MoveToDeadLetters, now: datetime) -> DeadLetterDraft:
    return DeadLetterDraft(
        key=_dead_letter_key(entry, dead),
        event_type=event_type_of(entry.body),
        body=entry.body,
        error_type=dead.error_type,
        error=dead.error,
        attempts=entry.attempts + 1,
        origin=entry.origin,
        undoes_discard=discard_undone_by(entry.extra),
        received_at=entry.received_at,
        first_failed_at=entry.first_failed_at or now,
        failed_at=now,
    )
