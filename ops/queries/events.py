"""Query settled events, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, SQLColumnExpression, TextClause, func, select

from models.events import UNFETCHED
from models.tables import StoredFact, StripeEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledEvent:
    """One settled event without its payload."""

    id: str
    type: str
    object_id: str | None
    realm: str
    account: str | None
    livemode: bool
    api_version: str | None
    origin: str
    created_at: datetime
    received_at: datetime
    applied_at: datetime
    outcome: str
    reason: str | None
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """The conditions on an event; times are those at which it was settled."""

    types: tuple[str, ...] = ()
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    unfetched: bool = False
    parties: tuple[frozenset[str], ...] = ()
    """For each group, the event has a fact about one of its parties."""


_COLUMNS = [getattr(StripeEvent, field.name) for field in fields(SettledEvent)]


def settled_events(
    connection: Connection, wanted: EventFilter, *, limit: int
) -> list[SettledEvent]:
    """Return the events that match, last settled first."""
    query = select(*_COLUMNS).where(*conditions(wanted))
    number: SQLColumnExpression[int] = StripeEvent.settlement
    if wanted.parties:
        # Few events match: find them, then sort. An index scan from the newest event on could
        # read the whole table; `+ 0` keeps PostgreSQL from choosing it.
        number = StripeEvent.settlement + 0
    newest = query.order_by(number.desc()).limit(limit)
    return [SettledEvent(**row) for row in connection.execute(newest).mappings()]


def settled_ids(connection: Connection, wanted: EventFilter) -> list[str]:
    """Return the ids of all events that match, first settled first."""
    query = select(StripeEvent.id).where(*conditions(wanted)).order_by(StripeEvent.settlement)
    return list(connection.scalars(query))


def count_unfetched(connection: Connection) -> int:
    """Return how many events still need Stripe's API; an index makes this cheap."""
    query = select(func.count()).select_from(StripeEvent).where(UNFETCHED)
    return int(connection.scalar(query) or 0)


def settled_event(connection: Connection, event_id: str) -> SettledEvent | None:
    """Return one event by its id."""
    query = select(*_COLUMNS).where(StripeEvent.id == event_id)
    row = connection.execute(query).mappings().first()
    return SettledEvent(**row) if row else None


def conditions(wanted: EventFilter) -> Sequence[ColumnElement[bool] | TextClause]:
    """Return the conditions in SQL."""
    conditions: list[ColumnElement[bool] | TextClause] = []
    if wanted.types:
        conditions.append(StripeEvent.type.in_(wanted.types))
    if wanted.outcome:
        conditions.append(StripeEvent.outcome == wanted.outcome)
    if wanted.unfetched:
        conditions.append(UNFETCHED)
    if wanted.since:
        conditions.append(StripeEvent.applied_at >= wanted.since)
    if wanted.until:
        conditions.append(StripeEvent.applied_at < wanted.until)
    for parties in wanted.parties:
        stated = select(StoredFact.event_id).where(StoredFact.party.in_(parties))
        conditions.append(StripeEvent.id.in_(stated))
    return conditions
