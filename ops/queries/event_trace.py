"""Query everything about one event, wherever it is.

An event is settled, or in the inbox, or a dead letter. A conflicting second body under its id has
a key of its own, ``evt_1#fingerprint``. What Stripe's API showed for it has an id of its own, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from models.tables import (
    AuditLog,
    DeadLetter,
    PaymentEvent,
    StoredFact,
    StoredObservation,
    StripeEvent,
)
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
class SeenObject:
    """An API observation without its payload.

    ``event_id`` is the event it was fetched for. Without one, a backfill or a reconciliation, the
    ``origin``, had it asked for ``actor`` and for a ``reason``.
    """

    id: str
    object_id: str
    family: str
    realm: str
    event_id: str | None
    asked_at: datetime
    api_version: str | None
    gone: bool
    origin: str | None
    actor: str | None
    reason: str | None

    @property
    def asked_by(self) -> str | None:
        """The command that had it asked, for whom and why; None if an event asked for it."""
        return describe_asking(self.origin, self.actor, self.reason)


def describe_asking(origin: str | None, actor: str | None, reason: str | None) -> str | None:
    """Return by what Stripe's API was asked for no event: the command, for whom and why."""
    if origin is None:
        return None
    return f"the {origin} of {actor}" + (f": {reason}" if reason else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedObservation:
    """An API observation, what it says, and every event for which the API was asked then."""

    seen: SeenObject
    payload: str = field(repr=False)
    facts: tuple[Mapping[str, Any], ...]
    asked_for: tuple[str, ...]


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
    seen: tuple[SeenObject, ...] = ()
    """What Stripe's API showed for it."""

    @property
    def empty(self) -> bool:
        """True if the database does not know the event."""
        return self.settled is None and not self.letters


def load_recorded_event(connection: Connection, event_id: str) -> RecordedEvent:
    """Return what the database holds about an event id, or about the inbox key of a conflict."""
    event = select(StripeEvent.payload, StripeEvent.observations)
    row = connection.execute(event.where(StripeEvent.id == event_id)).one_or_none()
    payload, observed = row or (None, None)
    letter = DeadLetter.event_id
    keyed = (letter == event_id) | letter.startswith(f"{event_id}#", autoescape=True)
    return RecordedEvent(
        settled=settled_event(connection, event_id),
        payload=payload,
        facts=_facts(connection, [event_id, *(observed or ())]),
        changes=fetch(connection, AuditEntry, AuditLog, AuditLog.event_id == event_id),
        movements=fetch(connection, MoneyMovement, PaymentEvent, PaymentEvent.event_id == event_id),
        letters=fetch(connection, DeadLetterRow, DeadLetter, keyed),
        seen=_seen(connection, observed or ()),
    )


def load_observation(connection: Connection, observation_id: str) -> RecordedObservation | None:
    """Return what the database holds about an API observation."""
    found = _seen(connection, [observation_id])
    if not found:
        return None
    payload = select(StoredObservation.payload).where(StoredObservation.id == observation_id)
    asked = select(StripeEvent.id).where(StripeEvent.observations.contains([observation_id]))
    return RecordedObservation(
        seen=found[0],
        payload=connection.scalars(payload).one(),
        facts=_facts(connection, [observation_id]),
        asked_for=tuple(connection.scalars(asked.order_by(StripeEvent.id))),
    )


def _facts(connection: Connection, statements: Sequence[str]) -> tuple[Mapping[str, Any], ...]:
    """Return the facts of an event first, then those of its observations, oldest first."""
    query = select(StoredFact.fact).where(StoredFact.event_id.in_(statements))
    in_order = (StoredFact.event_id != statements[0], StoredFact.created_at, StoredFact.object_key)
    return tuple(connection.scalars(query.order_by(*in_order)))


def _seen(connection: Connection, ids: Sequence[str]) -> tuple[SeenObject, ...]:
    named = StoredObservation.id.in_(ids)
    in_time = [StoredObservation.asked_at, StoredObservation.id]
    return fetch(connection, SeenObject, StoredObservation, named, order_by=in_time)


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
