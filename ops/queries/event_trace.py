"""Query everything about one event, wherever it is.

An event is settled, or in the inbox, or a dead letter. A conflicting second body under its id has
a key of its own, ``evt_1#fingerprint``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from models.tables import AuditLog, DeadLetter, PaymentEvent, StoredFact, StripeEvent
from ops.queries.audit import AuditEntry
from ops.queries.dead_letters import DeadLetterRow
from ops.queries.events import SettledEvent, settled_event
from ops.queries.rows import fetch
from runtime.inbox.entries import PeekedEvent
from runtime.inbox.inbox import Inbox


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyMovement:
    """A movement of money that the event caused."""

    kind: str
    payment_ref: str
    user_id: str | None
    plan_code: str | None
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvent:
    """Everything that the database holds about an event."""

    settled: SettledEvent | None
    payload: str | None = field(repr=False)
    facts: tuple[Mapping[str, Any], ...]
    changes: tuple[AuditEntry, ...]
    """The audit entries that name it."""
    movements: tuple[MoneyMovement, ...]
    letters: tuple[DeadLetterRow, ...]

    @property
    def empty(self) -> bool:
        """True if the database does not know the event."""
        return self.settled is None and not self.letters


def load_recorded_event(connection: Connection, event_id: str) -> RecordedEvent:
    """Return what the database holds about an event id, or about the inbox key of a conflict."""
    payload = select(StripeEvent.payload).where(StripeEvent.id == event_id)
    facts = select(StoredFact.fact).where(StoredFact.event_id == event_id)
    letter = DeadLetter.event_id
    keyed = (letter == event_id) | letter.startswith(f"{event_id}#", autoescape=True)
    return RecordedEvent(
        settled=settled_event(connection, event_id),
        payload=connection.scalar(payload),
        facts=tuple(connection.scalars(facts.order_by(StoredFact.object_key))),
        changes=fetch(connection, AuditEntry, AuditLog, AuditLog.event_id == event_id),
        movements=fetch(connection, MoneyMovement, PaymentEvent, PaymentEvent.event_id == event_id),
        letters=fetch(connection, DeadLetterRow, DeadLetter, keyed),
    )


def find_dead_letter(
    connection: Connection, key: str
) -> tuple[DeadLetterRow, tuple[AuditEntry, ...]] | None:
    """Return one dead letter and every action on it, or None if there is none under this key."""
    letters = fetch(connection, DeadLetterRow, DeadLetter, DeadLetter.event_id == key)
    about = AuditLog.target_type.in_(("dead_letter", "event")) & (AuditLog.target_id == key)
    return (letters[0], fetch(connection, AuditEntry, AuditLog, about)) if letters else None


def find_in_inbox(inbox: Inbox, event_id: str) -> tuple[PeekedEvent, ...]:
    """Return what the inbox holds under an event id, conflicts included."""
    conflicts = [key for key in inbox.conflicts() if key.startswith(f"{event_id}#")]
    events = inbox.peek([event_id, *conflicts])
    return tuple(peeked for peeked in events if peeked.state != "absent")
