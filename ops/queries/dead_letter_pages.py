"""Query dead letters page by page, newest failure first, by group, state, time and what they name.

A page reads no payload, except those of its own rows where a filter names a user, a customer or an
object: what may be about them is found by terms, and only the payload tells.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select

from billing.ids import Realm
from models.tables import DeadLetter
from ops.queries.dead_letters import (
    about,
    keys_named,
    letter_conditions,
    letters_looked_up,
    named_by,
)
from ops.queries.events import EventFilter
from ops.queries.lookups import Lookup
from ops.queries.pages import Branch, Conditions, Listing, Page, PageRequest, fetch_page
from runtime.database.one_of import one_of

FEW: Final = 500
"""The dead letters up to which all that may be about what is looked up are found first."""

_SEARCHED_AT_ONCE: Final = 2000
"""The dead letters whose error is compared for one page."""

_BY_INDEX: Final = frozenset({"since", "until", "error_group"})
"""The conditions that an index answers in the order of the list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedLetter:
    """One dead letter without its payload and history."""

    event_id: str
    type: str | None
    state: str
    error_type: str
    error: str
    error_group: str
    attempts: int
    received_at: datetime | None
    first_failed_at: datetime
    last_failed_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None
    reason: str | None


def letter_page(
    connection: Connection,
    wanted: EventFilter,
    asked: PageRequest,
    *,
    states: Sequence[str],
    realms: Sequence[Realm],
) -> Page[ListedLetter]:
    """Return a page of the dead letters in these states that match.

    A name or a value of metadata finds what bears it, as in ``paidup dead list``. A page may have
    fewer rows than asked for and another one behind it.

    Raises:
        UnusableCursor: the cursor is none of this list.
    """
    lookups = letters_looked_up(connection, realms, wanted)
    keys = _few_keys(connection, lookups)
    left = letter_conditions(wanted).keys() - _BY_INDEX

    def filters(letter: type[DeadLetter]) -> Conditions:
        conditions = letter_conditions(wanted, letter)
        named = [letter.event_id.in_(keys_named(each)) for each in lookups if keys is None]
        return [*(conditions[name] for name in sorted(left)), *named]

    listing = Listing(
        shape=ListedLetter,
        model=DeadLetter,
        order=("last_failed_at", "event_id"),
        branches=tuple(_branch(wanted, state, keys) for state in states),
        since=wanted.since,
        until=wanted.until,
        filters=filters if left or (lookups and keys is None) else None,
        dated="last_failed_at",
        searched_at_once=_SEARCHED_AT_ONCE,
    )
    page = fetch_page(connection, listing, asked)
    return replace(page, rows=_about(connection, realms, lookups, page.rows)) if lookups else page


def _branch(wanted: EventFilter, state: str, keys: Sequence[str] | None) -> Branch:
    """Return the dead letters of one state: these, those of the group, or all."""
    if keys is None:
        group = {"error_group": wanted.error_group} if wanted.error_group else {}
        return Branch(pinned={"state": state, **group})
    few = [DeadLetter.state == state, one_of(DeadLetter.event_id, keys)]
    few += [DeadLetter.error_group == wanted.error_group] if wanted.error_group else []
    return Branch(conditions=few)


def _few_keys(connection: Connection, lookups: Sequence[Lookup]) -> list[str] | None:
    """Return the keys of all that may be about what is looked up, or None if they are many."""
    for lookup in lookups:
        named = keys_named(lookup).subquery()
        keys = list(connection.scalars(select(named).limit(FEW + 1)))
        if len(keys) <= FEW:
            return keys
    return None


def _about(
    connection: Connection,
    realms: Sequence[Realm],
    lookups: Sequence[Lookup],
    rows: Sequence[ListedLetter],
) -> tuple[ListedLetter, ...]:
    """Return the rows whose payload is about all that is looked up."""
    query = select(DeadLetter.event_id, DeadLetter.payload)
    found = connection.execute(query.where(one_of(DeadLetter.event_id, [r.event_id for r in rows])))
    named = {key: named_by(payload) for key, payload in found}
    wanted = {*about(connection, realms, lookups, named, by_words=True)}
    return tuple(row for row in rows if row.event_id in wanted)
