"""Requeue events for an operator: each one goes through the inbox once, however many ask for it.

One transaction serves a few events: check that each may still be replayed, put it into the inbox,
write the audit, COMMIT. The inbox comes first: if the transaction then fails, the event is where
it was and perhaps in the inbox too, and settling it twice changes nothing. Its dead letter stays
open until the event is settled. An advisory lock and row locks on the dead letters serialize
operators: when two replay one event at once, the second finds it queued.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from billing.envelope import Envelope
from billing.errors import MalformedEvent
from models.tables import AuditLog
from ops.bulk.results import ReplayResult, ReplayStatus
from ops.bulk.targets import Target
from ops.terminal.formats import format_time
from runtime.broker import Publish
from runtime.event_body import parse
from runtime.event_keys import event_id_of
from runtime.inbox.inbox import Inbox
from runtime.ledger.deliveries import (
    DISCARDED,
    NAMED_IN,
    REPLAY,
    REPLAY_SETTLED,
    UNDOES_DISCARD,
)

T = TypeVar("T", bound=Target)

REQUESTED: Final = "replay.requested"

LeftAlone = Callable[[Connection, Sequence[T]], Mapping[str, ReplayResult]]
"""Return the results of targets that changed and are not to be requeued, by key."""

OPERATOR_LOCK: Final = 7_225_519_301
"""The advisory lock that serializes operators; nothing else in this database uses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """The rows that the database holds about some targets, locked until COMMIT."""

    letters: Mapping[str, Any]
    payloads: Mapping[str, str]
    already_queued: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeuer:
    """Requeues events for one operator and one request."""

    engine: Engine
    inbox: Inbox
    publish: Publish
    actor: str
    reason: str
    mark: int
    """The newest audit id at the time of the request."""
    plan: int | None = None
    """The bulk plan that asks, which the audit names."""
    guarded: bool = False
    """The plan has to name the users from whom an event takes access or whose money it moves."""

    def requeue(
        self, targets: Sequence[T], left_alone: LeftAlone[T] = lambda *_: {}
    ) -> list[ReplayResult]:
        """Requeue each of a few targets; after COMMIT, send the wake-ups.

        ``left_alone`` is asked while their dead letters are locked.
        """
        wakes: list[str] = []
        with self.engine.begin() as connection:
            stored = self._load(connection, targets)
            left = left_alone(connection, targets)
            results = [
                left.get(target.key) or self._requeue_one(target, stored, wakes)
                for target in targets
            ]
            tried = zip(targets, results, strict=True)
            queued = [each for each, result in tried if result.status is ReplayStatus.QUEUED]
            if queued:
                connection.execute(sa.insert(AuditLog), [*map(self._audit_row, queued)])
        send_wakes(self.inbox, self.publish, wakes)
        return results

    def _load(self, connection: Connection, targets: Sequence[Target]) -> _Stored:
        connection.execute(_LOCK_OPERATORS, {"lock": OPERATOR_LOCK})
        dead = [target.key for target in targets if target.is_dead_letter]
        settled = [target.key for target in targets if not target.is_dead_letter]
        every = {"keys": dead + settled, "mark": self.mark}
        return _Stored(
            letters={
                row.event_id: row for row in connection.execute(_LOCK_DEAD_LETTERS, {"keys": dead})
            },
            payloads={
                row.id: row.payload for row in connection.execute(_BODIES, {"keys": settled})
            },
            already_queued=frozenset(connection.scalars(_REQUEUED_SINCE, every)),
        )

    def _requeue_one(self, target: Target, stored: _Stored, wakes: list[str]) -> ReplayResult:
        key = target.key
        if key in stored.already_queued:
            return ReplayResult(key=key, status=ReplayStatus.ALREADY_QUEUED)
        letter = stored.letters.get(key)
        if target.is_dead_letter and letter is None:
            return ReplayResult(key=key, status=ReplayStatus.LOCKED)
        if letter is not None and letter.state == "replayed":
            by = f"applied at {format_time(letter.resolved_at)} by {letter.resolved_by}"
            return ReplayResult(key=key, status=ReplayStatus.RESOLVED_ELSEWHERE, detail=by)
        payload = letter.payload if letter is not None else stored.payloads[key]
        try:
            envelope = parse(payload.encode())
        except MalformedEvent as error:
            return ReplayResult(key=key, status=ReplayStatus.FAILED, detail=str(error))
        extra: dict[str, Any] = {"actor": self.actor, "reason": self.reason}
        if self.guarded:
            extra[NAMED_IN] = self.plan
        if letter is not None and letter.state == DISCARDED:
            extra[UNDOES_DISCARD] = letter.resolved_at.isoformat()
        return put_into_inbox(self.inbox, envelope, key, extra, wakes)

    def _audit_row(self, target: Target) -> dict[str, Any]:
        return {
            "actor": self.actor,
            "action": REQUESTED,
            "outcome": "done",
            "origin": "operator",
            "target_type": "dead_letter" if target.is_dead_letter else "event",
            "target_id": target.key,
            "event_id": event_id_of(target.key),
            "reason": self.reason,
            **({} if self.plan is None else {"after": {"bulk_plan": self.plan}}),
        }


def put_into_inbox(
    inbox: Inbox, envelope: Envelope, key: str, extra: Mapping[str, Any], wakes: list[str]
) -> ReplayResult:
    """Put an event into the inbox as a replay, unless it is there; add the wake-up to ``wakes``."""
    accepted = inbox.requeue(envelope, key=key, origin=REPLAY, extra=extra)
    if accepted.status == "accepted":
        wakes += [accepted.wake] if accepted.wake else []
        return ReplayResult(key=key, status=ReplayStatus.QUEUED)
    (there,) = inbox.peek([key])
    replayed = there.header.get("origin") == REPLAY
    status = ReplayStatus.ALREADY_QUEUED if replayed else ReplayStatus.PENDING
    return ReplayResult(key=key, status=status)


def send_wakes(inbox: Inbox, publish: Publish, wakes: Iterable[str]) -> None:
    """Send each wake-up; take back one that could not be sent, so that the sweeper sends it."""
    for wake in wakes:
        if not publish(wake):
            inbox.unregister(wake)


_LOCK_OPERATORS = sa.text("SELECT pg_advisory_xact_lock(:lock)")
_LOCK_DEAD_LETTERS = sa.text(
    "SELECT event_id, state, payload, resolved_at, resolved_by FROM dead_letters"
    " WHERE event_id = ANY(:keys) FOR UPDATE SKIP LOCKED"
)
_BODIES = sa.text("SELECT id, payload FROM stripe_events WHERE id = ANY(:keys)")
_REQUEUED_SINCE = sa.text(
    "SELECT target_id FROM audit_logs WHERE target_type IN ('event', 'dead_letter')"  # noqa: S608
    f" AND target_id = ANY(:keys) AND id > :mark AND action IN ('{REQUESTED}', '{REPLAY_SETTLED}')"
)
