"""Run a plan to its end: each event is decided again, and what changed meanwhile is left alone.

A replay goes through the inbox, as any replay (decision 9), and its result is read from the audit.
Results are saved every half second, in the transaction that renews the lease. A process that is
killed leaves events that it put into the inbox and did not save; the next one finds the request in
the audit and waits for the same result, so no event is requeued twice.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from models.tables import AuditLog, DeadLetter, StripeEvent
from ops.bulk import control
from ops.bulk.lease import LeaseLost, beat
from ops.bulk.plans import DISCARD, By, PlannedAction, PlannedItem, PlanRefused, audit
from ops.bulk.preview import ReplayPreviewer
from ops.bulk.question import Question
from ops.bulk.requeue import REQUESTED, Requeuer
from ops.bulk.results import ReplayResult, ReplayResults, ReplayStatus
from ops.bulk.selection import letter_hash
from ops.terminal.formats import format_time
from ops.terminal.interrupt import Interrupted
from runtime.database.one_of import one_of
from runtime.ledger.effects import unnamed_in, users_harmed
from runtime.ledger.errors import UnnamedEffect
from runtime.ledger.record import DeliveryPreview
from runtime.time_limits import BULK_SAVE_SECONDS

JOB_ACTOR: Final = "paidup"
"""The actor in the audit for what a job does by itself: to pause and to end."""

_DONE: Final = frozenset(
    {
        ReplayStatus.APPLIED,
        ReplayStatus.ALREADY_APPLIED,
        ReplayStatus.SUPERSEDED,
        ReplayStatus.IGNORED,
        ReplayStatus.QUEUED,
        ReplayStatus.DISCARDED,
    }
)
_SKIPPED: Final = frozenset({ReplayStatus.RESOLVED_ELSEWHERE, ReplayStatus.CHANGED})
_FAILED: Final = frozenset({ReplayStatus.FAILED, ReplayStatus.LOST, ReplayStatus.NOT_TRIED})


@dataclass(frozen=True, slots=True, kw_only=True)
class EventNow:
    """An event as it is at this moment; ``letter_state`` is None for a settled event."""

    key: str
    body_sha256: str
    letter_state: str | None
    resolved_by: str | None
    resolved_at: datetime | None
    reason: str | None


@dataclass(slots=True, kw_only=True)
class JobResults(ReplayResults):
    """The results of a job; those that are final wait in ``unsaved`` to be saved."""

    positions: dict[str, int] = field(default_factory=dict)
    unsaved: list[tuple[int, str, str]] = field(default_factory=list)
    unsaved_counts: dict[str, int] = field(default_factory=dict)
    refused: str | None = None
    """Why a worker refused an event whose effect the preview did not name."""

    def add(self, result: ReplayResult) -> None:
        """Count the result, and keep it to be saved if the item is over."""
        # A dataclass with slots is another class than the one that ``super()`` knows.
        ReplayResults.add(self, result)
        state = _item_state(result.status)
        if state is None:
            return
        position = self.positions.pop(result.key)
        said = f"{result.status}: {result.detail}" if result.detail else str(result.status)
        self.unsaved.append((position, state, said))
        if result.detail.startswith(UnnamedEffect.__name__):
            self.refused = result.detail
        name = str(result.status)
        self.unsaved_counts[name] = self.unsaved_counts.get(name, 0) + 1


def _item_state(status: ReplayStatus) -> str | None:
    named = {"done": _DONE, "skipped": _SKIPPED, "failed": _FAILED}
    return next((state for state, statuses in named.items() if status in statuses), None)


@dataclass(slots=True, kw_only=True)
class JobBook:
    """The job's side of its plan: it checks items, saves results and pauses."""

    engine: Engine
    plan: PlannedAction
    owner: str
    results: JobResults = field(default_factory=JobResults)
    clock: Callable[[], float] = time.monotonic
    _saved_at: float = field(default=float("-inf"))
    _counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Count on from what earlier processes saved."""
        self._counts = dict(self.plan.counts)

    def save_if_due(self) -> None:
        """Save results and renew the lease, if it was not done just now.

        Raises:
            Interrupted: the plan was paused or cancelled, another process has it, or a worker
                refused an event because of its effect.
        """
        if self.clock() - self._saved_at < BULK_SAVE_SECONDS:
            return
        try:
            self.save()
        except LeaseLost as error:
            raise Interrupted from error
        if self.results.refused is not None:
            self.pause(self.results.refused)

    def save(self, *, end: bool = False) -> None:
        """Save results and counts; with ``end`` the plan is done.

        Raises:
            LeaseLost: the plan is not running any more, or another process has it.
        """
        counts = dict(self._counts)
        for name, number in self.results.unsaved_counts.items():
            counts[name] = counts.get(name, 0) + number
        with self.engine.begin() as connection:
            self._write(connection)
            values: dict[str, Any] = {"counts": counts}
            if end:
                connection.execute(_LEFT, {"plan": self.plan.id})
                values |= {"state": "done", "ended_at": sa.func.now()}
                audit(connection, self.plan.id, "done", self._by(), {"counts": counts})
            beat(connection, self.plan.id, self.owner, during="running", **values)
        self._counts = counts
        self.results.unsaved_counts.clear()
        self.results.unsaved.clear()
        self._saved_at = self.clock()

    def save_after_stop(self) -> None:
        """Save what is known of a plan that was paused or cancelled, unless another one has it."""
        for name, number in self.results.unsaved_counts.items():
            self._counts[name] = self._counts.get(name, 0) + number
        counted = {"plan": self.plan.id, "owner": self.owner, "counts": json.dumps(self._counts)}
        with self.engine.begin() as connection:
            if connection.execute(_COUNTS, counted).rowcount:
                self._write(connection)

    def pause(self, reason: str) -> None:
        """Pause the plan, unless a person just paused or cancelled it, and end this process.

        Raises:
            Interrupted: always.
        """
        with suppress(PlanRefused):
            control.pause(self.engine, self.plan.id, By(actor=JOB_ACTOR, reason=reason))
        raise Interrupted

    def unnamed(self, users: frozenset[str]) -> list[str]:
        """Return those of the users that neither the preview nor a person named."""
        with self.engine.connect() as connection:
            return unnamed_in(connection, self.plan.id, users)

    def _by(self) -> By:
        return By(actor=JOB_ACTOR, reason=self.plan.reason)

    def _write(self, connection: Connection) -> None:
        if self.results.unsaved:
            positions, states, said = zip(*self.results.unsaved, strict=True)
            values = {"plan": self.plan.id, "positions": [*positions]}
            connection.execute(_SAVE, values | {"states": [*states], "said": [*said]})


@dataclass(slots=True, kw_only=True)
class ReplayJob:
    """Requeues the items of one plan; ``previewer`` decides each again if there was a preview."""

    book: JobBook
    requeuer: Requeuer
    previewer: ReplayPreviewer | None

    def requeue(self, items: Sequence[PlannedItem]) -> list[ReplayResult]:
        """Requeue those of a few items that are as they were planned.

        Raises:
            Interrupted: one would take access from a user whom the preview did not name.
        """
        self.book.results.positions.update({item.key: item.position for item in items})
        with self.book.engine.connect() as connection:
            results = {**self._left_alone(connection, items)}
        todo = [item for item in items if item.key not in results]
        if self.previewer is not None and todo:
            results |= self._decided(self.previewer, todo)
            todo = [item for item in items if item.key not in results]
        # Deciding takes time, in which another person may discard one.
        requeued = self.requeuer.requeue(todo, self._left_alone) if todo else []
        results |= {result.key: result for result in requeued}
        return [results[item.key] for item in items]

    def _left_alone(
        self, connection: Connection, items: Sequence[PlannedItem]
    ) -> Mapping[str, ReplayResult]:
        """Return the results of items that changed since; not of those that this plan requeued."""
        now = as_they_are(connection, items)
        asked = _requested(connection, self.book.plan, [item.key for item in items])
        return {
            item.key: ReplayResult(key=item.key, status=status, detail=detail)
            for item in items
            if item.key not in asked
            for status, detail in [changed_since(item, now.get(item.key), self.book.plan)]
            if status is not None
        }

    def _decided(
        self, previewer: ReplayPreviewer, items: Sequence[PlannedItem]
    ) -> dict[str, ReplayResult]:
        """Decide the items again; return those that wait for a lock.

        Raises:
            Interrupted: one has an effect that a person has to allow.
        """
        locked: dict[str, ReplayResult] = {}
        for key, decided in previewer.decide(items).items():
            if isinstance(decided, DeliveryPreview):
                self._refuse_unnamed(key, decided)
            elif decided.status is ReplayStatus.LOCKED:
                locked[key] = decided
        return locked

    def _refuse_unnamed(self, key: str, decided: DeliveryPreview) -> None:
        harmed = users_harmed(decided.decisions)
        if harmed and (unnamed := self.book.unnamed(harmed)):
            self.book.pause(Question(event=key, users=tuple(unnamed)).says(self.book.plan.id))


def changed_since(
    item: PlannedItem, now: EventNow | None, plan: PlannedAction
) -> tuple[ReplayStatus | None, str]:
    """Return why an item is left alone, or None as its status if it is as it was planned."""
    if now is None:
        return ReplayStatus.CHANGED, "it is not here any more"
    by = f"{now.resolved_by}, at {format_time(now.resolved_at)}" if now.resolved_by else "nobody"
    if now.letter_state != item.letter_state and now.letter_state in {"replayed", "discarded"}:
        discards = plan.action == DISCARD
        resolves = now.letter_state == ("discarded" if discards else "replayed")
        if resolves and now.resolved_by == plan.actor and now.reason == plan.reason:
            status = ReplayStatus.DISCARDED if discards else ReplayStatus.APPLIED
            return status, "by this plan, before its process was killed"
        return ReplayStatus.RESOLVED_ELSEWHERE, f"{now.letter_state} by {by}"
    if now.letter_state != item.letter_state:
        return ReplayStatus.CHANGED, "it became an open dead letter again"
    if now.body_sha256 != item.body_sha256:
        return ReplayStatus.CHANGED, "another body came under its id"
    return None, ""


def as_they_are(connection: Connection, items: Sequence[PlannedItem]) -> dict[str, EventNow]:
    """Return the events of these items as they are now, by key."""
    nothing = sa.null().cast(sa.Text())
    letters = sa.select(
        DeadLetter.event_id.label("key"),
        letter_hash().label("body_sha256"),
        DeadLetter.state.label("letter_state"),
        DeadLetter.resolved_by,
        DeadLetter.resolved_at,
        DeadLetter.reason,
    ).where(one_of(DeadLetter.event_id, [each.key for each in items if each.is_dead_letter]))
    settled = sa.select(
        StripeEvent.id,
        StripeEvent.payload_sha256,
        nothing,
        nothing,
        sa.null().cast(sa.DateTime(timezone=True)),
        nothing,
    ).where(one_of(StripeEvent.id, [each.key for each in items if not each.is_dead_letter]))
    rows = connection.execute(letters.union_all(settled)).mappings()
    return {row["key"]: EventNow(**row) for row in rows}


def _requested(connection: Connection, plan: PlannedAction, keys: Sequence[str]) -> set[str]:
    """Return the events that an earlier process of this plan put into the inbox."""
    query = sa.select(AuditLog.target_id).where(
        AuditLog.target_type.in_(("event", "dead_letter")),
        one_of(AuditLog.target_id, keys),
        AuditLog.action == REQUESTED,
        AuditLog.id > (plan.mark or 0),
        AuditLog.after["bulk_plan"].as_integer() == plan.id,
    )
    return set(connection.scalars(query))


_SAVE: Final = sa.text(
    "UPDATE bulk_items SET state = saved.state, said = saved.said"
    " FROM unnest(CAST(:positions AS bigint[]), CAST(:states AS text[]), CAST(:said AS text[]))"
    " AS saved(position, state, said)"
    " WHERE plan = :plan AND bulk_items.position = saved.position AND bulk_items.state = 'waiting'"
)
_LEFT: Final = sa.text(
    "UPDATE bulk_items SET state = 'skipped', said = 'left alone: it was in the inbox already'"
    " WHERE plan = :plan AND state = 'waiting'"
)
_COUNTS: Final = sa.text(
    "UPDATE bulk_plans SET counts = CAST(:counts AS jsonb) WHERE id = :plan AND owner = :owner"
)
