"""Put missing events in by the front door, and find out what became of them.

They go into the inbox as a replay does: behind live deliveries, and never so many at once that one
of these would find no room. Workers apply them with all rules of a delivery. If the run is killed,
those in the inbox are settled and the next run finds the others.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from billing.errors import MalformedEvent
from models.tables import AuditLog, DeadLetter, StripeEvent
from ops.bulk.requeue import send_wakes
from ops.bulk.run import CHECK_SECONDS, WINDOW, stall_reason
from ops.errors import first_line
from ops.reconcile.differences import (
    EVENT,
    DifferenceClass,
    DifferenceState,
    FoundDifference,
    read_differences,
    write_differences,
)
from ops.reconcile.missing_events import ListedEvent
from runtime.broker import Publish
from runtime.database.one_of import one_of
from runtime.inbox.entries import Lane
from runtime.inbox.inbox import Inbox

RECONCILE: Final = "reconcile"
"""The origin of what a reconciliation put in, at the inbox, the event and the audit."""

REQUESTED: Final = "reconcile.requested"
"""The audit action for an event that was put in."""

PUT_IN: Final = "it never arrived here; it was put in and waits to be applied"

_AT_ONCE: Final = 1000


@dataclass(slots=True, kw_only=True)
class MissingEventInput:
    """The way in for one run; ``tell`` gets each reason for which workers take nothing."""

    inbox: Inbox
    publish: Publish
    actor: str
    reason: str
    pause: Callable[[float], None]
    tell: Callable[[str], None]
    _wakes: list[str] = field(default_factory=list)

    def wait_for_room(self, number: int) -> None:
        """Wait until so many more replays leave the inbox its room for deliveries."""
        while (backlog := self.inbox.backlog()).by_lane[Lane.REPLAY] + number > WINDOW:
            if (reason := stall_reason(backlog)) is not None:
                self.tell(reason)
            self.pause(CHECK_SECONDS)

    def put(self, connection: Connection, events: Sequence[ListedEvent]) -> list[FoundDifference]:
        """Put events in, inside the transaction that stores the differences, which it returns.

        Call ``send_wakes`` after COMMIT.
        """
        found = [self._put_one(each) for each in events]
        put = [each.name for each in found if each.state is DifferenceState.STANDS]
        if put:
            connection.execute(sa.insert(AuditLog), [self._audit_row(name) for name in put])
        return found

    def send_wakes(self) -> None:
        """Wake workers for what was put in."""
        wakes, self._wakes = self._wakes, []
        send_wakes(self.inbox, self.publish, wakes)

    def _put_one(self, event: ListedEvent) -> FoundDifference:
        try:
            envelope = event.as_delivered()
        except MalformedEvent as error:
            return event.difference(DifferenceState.LEFT, f"it cannot be put in: {error}")
        extra = {"actor": self.actor, "reason": self.reason}
        accepted = self.inbox.requeue(envelope, origin=RECONCILE, extra=extra)
        if accepted.wake:
            self._wakes.append(accepted.wake)
        return event.difference(DifferenceState.STANDS, PUT_IN)

    def _audit_row(self, event_id: str) -> dict[str, Any]:
        return {
            "actor": self.actor,
            "action": REQUESTED,
            "outcome": "done",
            "origin": RECONCILE,
            "target_type": "event",
            "target_id": event_id,
            "event_id": event_id,
            "reason": self.reason,
        }


@dataclass(slots=True, kw_only=True)
class Results:
    """The results of the events that a run put in."""

    engine: Engine
    inbox: Inbox
    run: int
    pause: Callable[[float], None]
    tell: Callable[[str], None]
    waiting: list[FoundDifference] = field(default_factory=list)

    def wait(self, report: Callable[[int], None]) -> None:
        """Wait until each has its result; ``report`` gets the number of those that wait."""
        with self.engine.connect() as connection:
            self.waiting = read_put_in(connection, self.run)
        while self.waiting:
            self._collect()
            report(len(self.waiting))
            if self.waiting:
                if (reason := stall_reason(self.inbox.backlog())) is not None:
                    self.tell(reason)
                self.pause(CHECK_SECONDS)

    def _collect(self) -> None:
        """Ask the inbox before the database: an event that leaves it is settled or dead by then."""
        part, rest = self.waiting[:_AT_ONCE], self.waiting[_AT_ONCE:]
        inside = set(self.inbox.pending([each.name for each in part]))
        with self.engine.begin() as connection:
            done = _results(connection, [each for each in part if each.name not in inside])
            write_differences(connection, self.run, done)
        self.waiting = [*rest, *(each for each in part if each.name in inside)]


def read_put_in(connection: Connection, run: int) -> list[FoundDifference]:
    """Return the events that a run put in and whose result it does not know."""
    standing = read_differences(connection, run, states=(DifferenceState.STANDS,))
    return [
        each
        for each in standing
        if each.classed is DifferenceClass.MISSING_EVENT and each.says == PUT_IN
    ]


def _results(connection: Connection, left: Iterable[FoundDifference]) -> list[FoundDifference]:
    """Return events that left the inbox, each with what the database says of it."""
    by_name = {each.name: each for each in left if each.family == EVENT}
    names = [*by_name]
    settled = {
        row.id: row.outcome
        for row in connection.execute(
            sa.select(StripeEvent.id, StripeEvent.outcome).where(one_of(StripeEvent.id, names))
        )
    }
    dead = {
        row.event_id: first_line(row.error)
        for row in connection.execute(
            sa.select(DeadLetter.event_id, DeadLetter.error).where(
                one_of(DeadLetter.event_id, names), DeadLetter.state == "open"
            )
        )
    }
    return [_result(each, settled.get(name), dead.get(name)) for name, each in by_name.items()]


def _result(put: FoundDifference, outcome: str | None, error: str | None) -> FoundDifference:
    if outcome is not None:
        return replace(
            put, state=DifferenceState.REPAIRED, says=f"it never arrived here; now it is {outcome}"
        )
    if error is not None:
        says = f"it is a dead letter now: {error}; `paidup dead show {put.name}`"
        return replace(put, state=DifferenceState.LEFT, says=says)
    return replace(put, says="it left the inbox without a result; reconcile again")
