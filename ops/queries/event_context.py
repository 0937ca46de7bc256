"""Query what stands around an event: what people did with it, and events that say the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, or_, select, union

from models.events import IN_ARCHIVE
from models.tables import AuditLog, StoredFact, StripeEvent
from ops.queries.audit import AuditEntry
from ops.queries.event_trace import RecordedEvent
from ops.queries.replay_results import DEAD_LETTERED
from ops.queries.rows import fetch
from runtime.database.one_of import one_of

MOST_TWINS: Final = 20
_MOST_ACTIONS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinEvent:
    """Another event about one of the same objects, created in the same second."""

    id: str
    type: str
    created_at: datetime
    outcome: str
    reason: str | None


def load_actions(connection: Connection, keys: Sequence[str]) -> tuple[AuditEntry, ...]:
    """Return what was done with events or dead letters themselves, oldest first.

    Failures are left out: a dead letter has them.
    """
    return fetch(
        connection,
        AuditEntry,
        AuditLog,
        AuditLog.target_type.in_(("dead_letter", "event")),
        AuditLog.target_id.in_(keys),
        or_(AuditLog.action.startswith("replay."), AuditLog.action.startswith("dead_letter.")),
        AuditLog.action != DEAD_LETTERED,
        limit=_MOST_ACTIONS,
    )


def load_twins(connection: Connection, recorded: RecordedEvent) -> tuple[TwinEvent, ...]:
    """Return the events that stated something about the same objects for the same second.

    The times of two such events do not say which came first.
    """
    event = recorded.settled
    if event is None:
        return ()
    own = select(StoredFact.object_key, StoredFact.party).where(StoredFact.event_id == event.id)
    facts = connection.execute(own).all()
    if not facts:
        return ()
    same = (
        one_of(StoredFact.object_key, {fact.object_key for fact in facts}),
        StoredFact.created_at == event.created_at,
        StoredFact.event_id != event.id,
    )
    # What is loaded with its party has the index on parties, what is archived one on objects.
    parties = one_of(StoredFact.party, {fact.party for fact in facts})
    stating = union(
        select(StoredFact.event_id).where(parties, StoredFact.archive == "", *same),
        select(StoredFact.event_id).where(IN_ARCHIVE, *same),
    )
    twins = StripeEvent.id.in_(stating)
    newest = [StripeEvent.settlement.desc()]
    return fetch(connection, TwinEvent, StripeEvent, twins, order_by=newest, limit=MOST_TWINS)
