"""Everything that is known of one event, wherever it is.

An event that has arrived is settled, or in the inbox, or a dead letter; a second body under its
id is kept apart under a key of its own, ``evt_1#fingerprint``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from models.base import Base
from models.tables import AuditLog, DeadLetter, PaymentEvent, StoredFact, StripeEvent
from ops.queries.dead_letters import Letter
from ops.queries.events import SettledEvent, settled_event
from runtime.inbox.entries import Glimpse
from runtime.inbox.inbox import Inbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An entry of the audit that names the event."""

    occurred_at: datetime
    actor: str
    action: str
    outcome: str
    target_type: str
    target_id: str
    user_id: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """Money that moved because of the event."""

    kind: str
    payment_ref: str
    user_id: str | None
    plan_code: str | None
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the database holds of an event."""

    settled: SettledEvent | None
    payload: str | None = field(repr=False)
    facts: tuple[Mapping[str, Any], ...]
    changes: tuple[Change, ...]
    movements: tuple[Movement, ...]
    letters: tuple[Letter, ...]

    @property
    def empty(self) -> bool:
        """Whether the database has never heard of the event."""
        return self.settled is None and not self.letters


def recorded(connection: Connection, event_id: str) -> Recorded:
    """What the database holds under an event's id; an inbox key finds the dead letter it names."""
    payload = select(StripeEvent.payload).where(StripeEvent.id == event_id)
    facts = select(StoredFact.fact).where(StoredFact.event_id == event_id)
    letter = DeadLetter.event_id
    return Recorded(
        settled=settled_event(connection, event_id),
        payload=connection.scalar(payload),
        facts=tuple(connection.scalars(facts.order_by(StoredFact.object_key))),
        changes=_rows(connection, Change, AuditLog, AuditLog.event_id == event_id, AuditLog.id),
        movements=_rows(
            connection, Movement, PaymentEvent, PaymentEvent.event_id == event_id, PaymentEvent.id
        ),
        letters=_rows(
            connection,
            Letter,
            DeadLetter,
            (letter == event_id) | letter.startswith(f"{event_id}#", autoescape=True),
            letter,
        ),
    )


def unsettled(inbox: Inbox, event_id: str) -> tuple[Glimpse, ...]:
    """What the inbox holds under an event's id, second bodies included."""
    apart = [key for key in inbox.conflicts() if key.startswith(f"{event_id}#")]
    seen = inbox.peek([event_id, *apart])
    return tuple(glimpse for glimpse in seen if glimpse.state != "absent")


T = TypeVar("T")


def _rows(
    connection: Connection, shape: type[T], model: type[Base], condition: Any, order: Any
) -> tuple[T, ...]:
    columns = [getattr(model, each.name) for each in fields(shape)]  # type: ignore[arg-type]
    found = connection.execute(select(*columns).where(condition).order_by(order))
    return tuple(shape(**row) for row in found.mappings())
