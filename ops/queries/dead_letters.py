"""Query dead letters, also by the user or customer that they are about.

A dead letter has no facts, and perhaps no reader understands it. So everything that its payload
names is kept in ``search_terms``, which leads to the dead letters that have to be read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, CompoundSelect, Connection, func, select, union

from billing.errors import BillingError
from billing.ids import ObjectKey, Realm, object_key, stripe_id_of
from billing.readers.search_terms import Named, named_in
from models.search_terms import TERM_KINDS
from models.tables import DeadLetter, Membership, SearchTerm
from ops.queries.events import EventFilter, look_up_filter
from ops.queries.lookups import Lookup
from ops.queries.parties import OWN_REALMS
from ops.queries.rows import fetch
from runtime.database.one_of import one_of
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
    connection: Connection,
    wanted: EventFilter,
    *states: str,
    limit: int,
    realms: Sequence[Realm] = OWN_REALMS,
    by_words: bool = False,
) -> list[DeadLetterRow]:
    """Return the dead letters in these states that match, newest failure first."""
    found = find_dead_letter_keys(connection, wanted, *states, realms=realms, by_words=by_words)
    keys = found[:limit]
    matching = one_of(DeadLetter.event_id, keys)
    return [*fetch(connection, DeadLetterRow, DeadLetter, matching, order_by=_NEWEST)]


def find_dead_letter_keys(
    connection: Connection,
    wanted: EventFilter,
    *states: str,
    realms: Sequence[Realm] = OWN_REALMS,
    by_words: bool = False,
) -> list[str]:
    """Return the keys of the dead letters in these states that match, newest failure first.

    An id of Stripe in ``wanted`` is looked for in ``realms``. A name or a value of metadata finds
    what bears it only ``by_words``: nothing may be done to dead letters of others by chance.
    """
    lookups = letters_looked_up(connection, realms, wanted)
    matching = [DeadLetter.state.in_(states), *letter_conditions(wanted).values()]
    if not lookups:
        query = select(DeadLetter.event_id).where(*matching).order_by(*_NEWEST)
        return list(connection.scalars(query))
    matching += [DeadLetter.event_id.in_(keys_named(lookup)) for lookup in lookups]
    bodies = select(DeadLetter.event_id, DeadLetter.payload).where(*matching).order_by(*_NEWEST)
    found = connection.execute(bodies.execution_options(yield_per=_READ_AT_ONCE))
    pages = ({key: named_by(body) for key, body in some} for some in found.partitions())
    return [
        key
        for named in pages
        for key in about(connection, realms, lookups, named, by_words=by_words)
    ]


def keys_named(lookup: Lookup) -> CompoundSelect[str]:
    """Return the query for the keys of dead letters that may be about what is looked up.

    Terms are in lower case, so what it finds has to be compared with the payload.
    """
    texts = {lookup.text, lookup.email or lookup.text, lookup.word or lookup.text, *lookup.users}
    stated = select(SearchTerm.party).where(
        SearchTerm.kind.in_(TERM_KINDS), SearchTerm.term.in_([text.lower() for text in texts])
    )
    stripe_id = func.lower(func.split_part(Membership.object_key, ":", 2))
    of_its_objects = (
        select(SearchTerm.party)
        .join(Membership, (SearchTerm.term == stripe_id) & (SearchTerm.kind == "id"))
        .where(one_of(Membership.party, lookup.parties))
    )
    return union(stated, of_its_objects)


def letter_conditions(
    wanted: EventFilter, letter: type[DeadLetter] = DeadLetter
) -> dict[str, ColumnElement[bool]]:
    """Return the conditions on the dead letter's row, or an alias of it, by field of the filter."""
    conditions: dict[str, ColumnElement[bool]] = {}
    if wanted.event:
        conditions["event"] = letter.event_id.startswith(wanted.event, autoescape=True)
    if wanted.types:
        conditions["types"] = letter.type.in_(wanted.types)
    if wanted.error:
        named = letter.error_type.icontains(wanted.error, autoescape=True)
        conditions["error"] = named | letter.error.icontains(wanted.error, autoescape=True)
    if wanted.error_group:
        conditions["error_group"] = letter.error_group == wanted.error_group
    if wanted.since:
        conditions["since"] = letter.last_failed_at >= wanted.since
    if wanted.until:
        conditions["until"] = letter.last_failed_at < wanted.until
    return conditions


def letters_looked_up(
    connection: Connection, realms: Sequence[Realm], wanted: EventFilter
) -> tuple[Lookup, ...]:
    """Return what dead letters must name: of an object, the object and not others of its party."""
    named = look_up_filter(connection, realms, wanted)
    return tuple(
        replace(lookup, parties=frozenset()) if name in wanted.objects else lookup
        for name, lookup in named.items()
    )


def about(
    connection: Connection,
    realms: Sequence[Realm],
    lookups: Sequence[Lookup],
    named: Mapping[str, Named],
    *,
    by_words: bool = False,
) -> list[str]:
    """Return the keys of the events that name all that is looked up, or objects of its parties."""
    ids = {stripe_id for each in named.values() for stripe_id in each.ids}
    keys = [object_key(realm, stripe_id) for realm in realms for stripe_id in ids]
    parties = frozenset[str]().union(*(lookup.parties for lookup in lookups))
    query = select(Membership.object_key, Membership.party).where(
        one_of(Membership.object_key, keys), one_of(Membership.party, parties)
    )
    member = [(stripe_id_of(ObjectKey(key)), party) for key, party in connection.execute(query)]

    def concerns(lookup: Lookup, each: Named) -> bool:
        its = {stripe_id for stripe_id, party in member if party in lookup.parties}
        return lookup.named_by(each, by_words=by_words) or not its.isdisjoint(each.ids)

    return [key for key, each in named.items() if all(concerns(one, each) for one in lookups)]


def named_by(payload: str) -> Named:
    """Return everything that a payload names; one that is no event names nothing."""
    try:
        return named_in(parse(payload.encode()))
    except BillingError:
        return Named()
