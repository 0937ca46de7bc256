"""How an operator lets an event in again: through the inbox, once, whoever else does the same.

One transaction for a few events: see that each is still to be replayed, put it into the inbox,
write the audit, COMMIT. The inbox comes first: whatever fails in between, the event is where it
was and perhaps in the inbox too, and settling it twice changes nothing. Its dead letter stays
open until it is settled. Operators take turns, and letters are held meanwhile, so that of two who
ask for one event at once the second finds it on its way.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from billing.envelope import Envelope
from billing.errors import MalformedEvent
from models.tables import AuditLog
from ops.replay.targets import Target
from ops.terminal.formats import stamp
from runtime.event_body import parse
from runtime.event_keys import event_id_of
from runtime.inbox.entries import Accepted, Glimpse
from runtime.ledger.deliveries import REPLAY, REPLAY_SETTLED

REQUESTED: Final = "replay.requested"

TURN: Final = 7_225_519_301
"""The advisory lock that makes operators take turns; ours alone in this database."""


class Entrance(Enum):
    """What came of an attempt to let an event in."""

    IN = auto()
    JOINED = auto()
    """Another operator's replay of it is on its way, or was settled just now."""
    PENDING = auto()
    """A delivery of Stripe's is in the inbox; a replay has to come after it."""
    BUSY = auto()
    """Somebody holds its dead letter this very moment."""
    CLOSED = auto()
    """Its dead letter was dealt with meanwhile."""
    REFUSED = auto()
    """What is kept of it is no event that could be read."""
    KNOWN = auto()
    """It came from a file, and is settled here already."""
    LEFT_OUT = auto()
    """It came from a file, and an operator discarded it, here or there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An attempt and what there is to say about it."""

    target: Target
    entrance: Entrance
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """On whose word events are replayed, and since when this order stands, as an audit id."""

    actor: str
    reason: str
    mark: int


class Inbox(Protocol):
    """The inbox, as far as the front door knows it."""

    def readmit(
        self, envelope: Envelope, *, key: str, origin: str, extra: Mapping[str, Any]
    ) -> Accepted:
        """Take it in, unless it is there."""
        ...

    def peek(self, keys: Sequence[str]) -> list[Glimpse]:
        """Look what is there."""
        ...

    def unregister(self, token: str) -> None:
        """Take back a wake-up that was not sent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What the database holds of some targets while they are let in."""

    letters: Mapping[str, Any]
    payloads: Mapping[str, str]
    joined: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontDoor:
    """The way in, for one operator with one order."""

    engine: Engine
    inbox: Inbox
    publish: Callable[[str], bool]
    order: Order

    def let_in(self, targets: Sequence[Target]) -> list[Answer]:
        """Try each of these few; wake whoever has to be woken, after COMMIT."""
        wakes: list[str] = []
        with self.engine.begin() as connection:
            kept = self._keep(connection, targets)
            answers = [self._answer(target, kept, wakes) for target in targets]
            self._audit(connection, answers)
        for wake in wakes:
            if not self.publish(wake):
                self.inbox.unregister(wake)
        return answers

    def _keep(self, connection: Connection, targets: Sequence[Target]) -> _Kept:
        connection.execute(_TAKE_TURN, {"lock": TURN})
        buried = [target.key for target in targets if target.buried]
        settled = [target.key for target in targets if not target.buried]
        every = {"keys": buried + settled, "mark": self.order.mark}
        return _Kept(
            letters={row.event_id: row for row in connection.execute(_HOLD, {"keys": buried})},
            payloads={
                row.id: row.payload for row in connection.execute(_BODIES, {"keys": settled})
            },
            joined=frozenset(connection.scalars(_ASKED_SINCE, every)),
        )

    def _answer(self, target: Target, kept: _Kept, wakes: list[str]) -> Answer:
        if target.key in kept.joined:
            return Answer(target=target, entrance=Entrance.JOINED)
        letter = kept.letters.get(target.key)
        if target.buried and letter is None:
            return Answer(target=target, entrance=Entrance.BUSY)
        if letter is not None and letter.state == "replayed":
            by = f"applied at {stamp(letter.resolved_at)} by {letter.resolved_by}"
            return Answer(target=target, entrance=Entrance.CLOSED, says=by)
        payload = letter.payload if letter is not None else kept.payloads[target.key]
        try:
            envelope = parse(payload.encode())
        except MalformedEvent as error:
            return Answer(target=target, entrance=Entrance.REFUSED, says=str(error))
        return Answer(target=target, entrance=self._readmit(target, envelope, wakes))

    def _readmit(self, target: Target, envelope: Envelope, wakes: list[str]) -> Entrance:
        extra = {"actor": self.order.actor, "reason": self.order.reason}
        accepted = self.inbox.readmit(envelope, key=target.key, origin=REPLAY, extra=extra)
        if accepted.status == "accepted":
            wakes += [accepted.wake] if accepted.wake else []
            return Entrance.IN
        return entrance_of_pending(self.inbox, target.key)

    def _audit(self, connection: Connection, answers: Iterable[Answer]) -> None:
        entered = [answer.target for answer in answers if answer.entrance is Entrance.IN]
        if entered:
            connection.execute(sa.insert(AuditLog), [*map(self._audit_row, entered)])

    def _audit_row(self, target: Target) -> dict[str, Any]:
        return {
            "actor": self.order.actor,
            "action": REQUESTED,
            "outcome": "done",
            "origin": "operator",
            "target_type": "dead_letter" if target.buried else "event",
            "target_id": target.key,
            "event_id": event_id_of(target.key),
            "reason": self.order.reason,
        }


def entrance_of_pending(inbox: Inbox, key: str) -> Entrance:
    """Whose delivery it is that stands in the inbox already."""
    (there,) = inbox.peek([key])
    return Entrance.JOINED if there.header.get("origin") == REPLAY else Entrance.PENDING


_TAKE_TURN = sa.text("SELECT pg_advisory_xact_lock(:lock)")
_HOLD = sa.text(
    "SELECT event_id, state, payload, resolved_at, resolved_by FROM dead_letters"
    " WHERE event_id = ANY(:keys) FOR UPDATE SKIP LOCKED"
)
_BODIES = sa.text("SELECT id, payload FROM stripe_events WHERE id = ANY(:keys)")
_ASKED_SINCE = sa.text(
    "SELECT target_id FROM audit_logs WHERE target_type IN ('event', 'dead_letter')"  # noqa: S608
    f" AND target_id = ANY(:keys) AND id > :mark AND action IN ('{REQUESTED}', '{REPLAY_SETTLED}')"
)
