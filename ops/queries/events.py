"""Query settled events, newest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    CompoundSelect,
    Connection,
    SQLColumnExpression,
    Text,
    TextClause,
    func,
    select,
    union_all,
)

from billing.ids import Realm
from models.events import UNFETCHED
from models.tables import StoredFact, StripeEvent
from ops.queries.lookups import look_up_each
from ops.queries.rows import fetch
from runtime.database.one_of import one_of


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
    """The conditions on settled events and on dead letters; all that are set must hold.

    Times are those at which an event was settled, or at which a dead letter failed last.
    """

    types: tuple[str, ...] = ()
    outcome: str | None = None
    """Of a settled event only."""
    unfetched: bool = False
    """Settled events only: Stripe's API is still needed."""
    error: str | None = None
    """Dead letters only: a part of the error's name or message."""
    since: datetime | None = None
    until: datetime | None = None
    user: str | None = None
    customer: str | None = None


Parties = Mapping[str, frozenset[str]]
"""The parties of the filter's ``user`` and of its ``customer``, as far as it names them."""


def parties_named(connection: Connection, realms: Sequence[Realm], wanted: EventFilter) -> Parties:
    """Return the parties whose facts a settled event must state."""
    lookups = look_up_each(connection, realms, user=wanted.user, customer=wanted.customer)
    return {name: lookup.parties for name, lookup in lookups.items()}


def settled_events(
    connection: Connection, wanted: EventFilter, parties: Parties, *, limit: int
) -> tuple[SettledEvent, ...]:
    """Return the events that match, last settled first."""
    number: SQLColumnExpression[int] = StripeEvent.settlement
    if parties:
        # Few events match: find them, then sort. An index scan from the newest event on could
        # read the whole table; `+ 0` keeps PostgreSQL from choosing it.
        number = StripeEvent.settlement + 0
    matching, newest = conditions(wanted, parties), [number.desc()]
    return fetch(connection, SettledEvent, StripeEvent, *matching, order_by=newest, limit=limit)


def settled_ids(connection: Connection, wanted: EventFilter, parties: Parties) -> list[str]:
    """Return the ids of all events that match, first settled first."""
    query = select(StripeEvent.id).where(*conditions(wanted, parties))
    return list(connection.scalars(query.order_by(StripeEvent.settlement)))


def count_unfetched(connection: Connection) -> int:
    """Return how many events still need Stripe's API; an index makes this cheap."""
    query = select(func.count()).select_from(StripeEvent).where(UNFETCHED)
    return int(connection.scalar(query) or 0)


def settled_event(connection: Connection, event_id: str) -> SettledEvent | None:
    """Return one event by its id."""
    found = fetch(connection, SettledEvent, StripeEvent, StripeEvent.id == event_id)
    return found[0] if found else None


def conditions(wanted: EventFilter, parties: Parties) -> Sequence[ColumnElement[bool] | TextClause]:
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
    conditions += [StripeEvent.id.in_(_stating_about(each)) for each in parties.values()]
    return conditions


def _stating_about(parties: frozenset[str]) -> CompoundSelect[tuple[str]]:
    """Select the events that state facts about these parties, or had the API asked about them."""
    stated = select(StoredFact.event_id).where(one_of(StoredFact.party, parties))
    seen = func.array(stated.scalar_subquery(), type_=ARRAY(Text()))
    return union_all(stated, select(StripeEvent.id).where(StripeEvent.observations.overlap(seen)))
