"""Query dead letters, also by the user or customer that they are about.

A dead letter has no facts yet, so its user and customer are read from its payload, by the readers
that will apply it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, select

from billing.errors import BillingError
from billing.facts import Fact
from billing.ids import stripe_id_of
from billing.readers.registry import read_event
from models.tables import DeadLetter, Membership
from ops.queries import parties as party_queries
from ops.queries.events import EventFilter
from ops.queries.rows import fetch
from runtime.event_body import parse

OPEN: Final = "open"

_READ_AT_ONCE: Final = 500
_NEWEST: Final = (DeadLetter.last_failed_at.desc(), DeadLetter.event_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterRow:
    """One dead letter; ``event_id`` is the key of the event in the inbox."""

    event_id: str
    type: str | None
    state: str
    error_type: str
    error: str
    attempts: int
    received_at: datetime | None
    first_failed_at: datetime
    last_failed_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None
    reason: str | None
    history: Sequence[Mapping[str, Any]]
    payload: str = field(repr=False)


def find_dead_letters(
    connection: Connection, wanted: EventFilter, *states: str, limit: int
) -> list[DeadLetterRow]:
    """Return the dead letters in these states that match, newest failure first."""
    keys = find_dead_letter_keys(connection, wanted, *states)[:limit]
    matching = DeadLetter.event_id.in_(keys)
    return [*fetch(connection, DeadLetterRow, DeadLetter, matching, order_by=_NEWEST)]


def find_dead_letter_keys(connection: Connection, wanted: EventFilter, *states: str) -> list[str]:
    """Return the keys of the dead letters in these states that match, newest failure first."""
    conditions = [DeadLetter.state.in_(states), *_conditions(wanted)]
    if wanted.user is None and wanted.customer is None:
        query = select(DeadLetter.event_id).where(*conditions).order_by(*_NEWEST)
        return list(connection.scalars(query))
    bodies = select(DeadLetter.event_id, DeadLetter.payload).where(*conditions).order_by(*_NEWEST)
    found = connection.execute(bodies.execution_options(yield_per=_READ_AT_ONCE))
    return [key for some in found.partitions() for key in _about(connection, some, wanted)]


def _conditions(wanted: EventFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.types:
        conditions.append(DeadLetter.type.in_(wanted.types))
    if wanted.error:
        named = DeadLetter.error_type.icontains(wanted.error, autoescape=True)
        conditions.append(named | DeadLetter.error.icontains(wanted.error, autoescape=True))
    if wanted.since:
        conditions.append(DeadLetter.last_failed_at >= wanted.since)
    if wanted.until:
        conditions.append(DeadLetter.last_failed_at < wanted.until)
    return conditions


def _about(
    connection: Connection, found: Iterable[Row[str, str]], wanted: EventFilter
) -> list[str]:
    stated = {key: facts_of(payload) for key, payload in found}
    users: set[Any] = set()
    if wanted.user is not None:
        keys = _keys(fact for facts in stated.values() for fact in facts)
        parties = party_queries.parties_of_user(connection, wanted.user)
        belongs = Membership.object_key.in_(keys) & Membership.party.in_(parties)
        users = set(connection.scalars(select(Membership.object_key).where(belongs)))

    def is_users(facts: Sequence[Fact]) -> bool:
        user = wanted.user
        return user is None or names_user(facts, user) or bool(users & _keys(facts))

    def is_customers(facts: Sequence[Fact]) -> bool:
        return wanted.customer is None or wanted.customer in {*map(stripe_id_of, _keys(facts))}

    return [key for key, facts in stated.items() if is_users(facts) and is_customers(facts)]


def _keys(facts: Iterable[Fact]) -> set[Any]:
    return {key for fact in facts for key in (fact.object_key, *fact.mentions)}


def names_user(facts: Iterable[Fact], user_id: str) -> bool:
    """Return whether one of the facts names the user itself."""
    return any(getattr(fact.fields, "user_id", None) == user_id for fact in facts)


def facts_of(payload: str) -> tuple[Fact, ...]:
    """Return the facts of a payload; one that cannot be read has none."""
    try:
        return read_event(parse(payload.encode())).facts
    except BillingError:
        return ()
