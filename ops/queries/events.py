"""Query settled events, newest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    SQLColumnExpression,
    Text,
    TextClause,
    exists,
    func,
    select,
    union_all,
)

from billing.ids import Realm
from models.events import UNFETCHED
from models.tables import StoredFact, StripeEvent
from ops.queries.lookups import Lookup, look_up, look_up_each
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

    event: str | None = None
    """An id of an event, or its beginning."""
    types: tuple[str, ...] = ()
    outcome: str | None = None
    """Of a settled event only."""
    reason: str | None = None
    """Of a settled event only: why it was ignored or superseded."""
    unfetched: bool = False
    """Settled events only: Stripe's API is still needed."""
    error: str | None = None
    """Dead letters only: a part of the error's name or message."""
    error_group: str | None = None
    """Dead letters only: those that failed alike (``ops.queries.dead_letter_groups``)."""
    since: datetime | None = None
    until: datetime | None = None
    user: str | None = None
    customer: str | None = None
    objects: tuple[str, ...] = ()
    """Ids of subscriptions, payments, invoices and so on: the event is about, or names, each."""


Parties = Mapping[str, frozenset[str]]
"""The parties of the filter's ``user``, of its ``customer``, and of each object by its id."""


def parties_named(connection: Connection, realms: Sequence[Realm], wanted: EventFilter) -> Parties:
    """Return the parties whose facts a settled event must state."""
    lookups = look_up_filter(connection, realms, wanted)
    return {name: lookup.parties for name, lookup in lookups.items()}


def look_up_filter(
    connection: Connection, realms: Sequence[Realm], wanted: EventFilter
) -> dict[str, Lookup]:
    """Return what the filter names, by its place in the filter, or by the id of an object."""
    named = look_up_each(connection, realms, user=wanted.user, customer=wanted.customer)
    for stripe_id in wanted.objects:
        named[stripe_id] = replace(look_up(connection, realms, stripe_id), users=())
    return named


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
    matching = [*own_conditions(wanted, StripeEvent).values()]
    for name, members in parties.items():
        stated = facts_about(members, name if name in wanted.objects else None)
        matching.append(StripeEvent.id.in_(stating(stated)))
    return matching


def own_conditions(
    wanted: EventFilter, event: type[StripeEvent]
) -> dict[str, ColumnElement[bool] | TextClause]:
    """Return the conditions on the event's row, or on an alias of it, by field of the filter."""
    conditions: dict[str, ColumnElement[bool] | TextClause] = {}
    if wanted.event:
        conditions["event"] = event.id.startswith(wanted.event, autoescape=True)
    if wanted.types:
        conditions["types"] = event.type.in_(wanted.types)
    if wanted.outcome:
        conditions["outcome"] = event.outcome == wanted.outcome
    if wanted.reason:
        conditions["reason"] = event.reason == wanted.reason
    if wanted.unfetched:
        conditions["unfetched"] = UNFETCHED
    if wanted.since:
        conditions["since"] = event.applied_at >= wanted.since
    if wanted.until:
        conditions["until"] = event.applied_at < wanted.until
    return conditions


def facts_about(parties: frozenset[str], stripe_id: str | None) -> Select[str]:
    """Return the query for who stated facts about these parties, or about one of their objects."""
    query = select(StoredFact.event_id).where(one_of(StoredFact.party, parties))
    return query if stripe_id is None else query.where(names_object(stripe_id))


def names_object(stripe_id: str) -> ColumnElement[bool]:
    """Return the condition that a fact is about an object, or mentions it, in any realm."""
    mentioned = func.jsonb_array_elements_text(StoredFact.fact["mentions"]).column_valued("its")
    key = func.split_part(StoredFact.object_key, ":", 2)
    return (key == stripe_id) | exists(
        select(mentioned).where(func.split_part(mentioned, ":", 2) == stripe_id)
    )


def stating(stated: Select[str]) -> CompoundSelect[tuple[str]]:
    """Select the events that stated facts themselves, or had the API asked that showed them."""
    seen = func.array(stated.scalar_subquery(), type_=ARRAY(Text()))
    return union_all(stated, select(StripeEvent.id).where(StripeEvent.observations.overlap(seen)))
