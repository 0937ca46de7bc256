"""Query settled events page by page, newest first, within bounded work however many match.

The order is that of settling, by settlement numbers; within a time range it is that of the times,
which a replay renews. If few events can match, all of them are found first. Otherwise a page walks
along an index, and looks at a bounded number of rows for what the index does not answer.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    any_,
    cast,
    exists,
    or_,
    select,
)

from models.events import UNFETCHED, WITHOUT_EFFECT
from models.tables import StoredFact, StripeEvent
from ops.queries.events import (
    EventFilter,
    Parties,
    SettledEvent,
    facts_about,
    names_object,
    own_conditions,
    stating,
)
from ops.queries.pages import (
    SEARCHED_AT_ONCE,
    Branch,
    Conditions,
    Listing,
    Page,
    PageRequest,
    capped_count,
    cursor_length,
    fetch_page,
)
from ops.queries.prefixes import begins_with
from runtime.database.one_of import one_of

FEW: Final = 1500
"""The number of events up to which all that can match are found first."""

_PROBED_AT_ONCE: Final = 1500
"""The rows of a page for each of which its facts are looked up."""

_BY_NUMBER: Final = ("settlement",)
_BY_TIME: Final = ("applied_at", "settlement")
_TIMES: Final = frozenset({"since", "until"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    """An order, what an index answers in it, and the fields of the filter that this answers."""

    order: tuple[str, ...] = _BY_NUMBER
    branches: tuple[Branch, ...] = (Branch(),)
    since: datetime | None = None
    until: datetime | None = None
    answered: frozenset[str] = frozenset()
    searched_at_once: int = SEARCHED_AT_ONCE


def event_page(
    connection: Connection, wanted: EventFilter, parties: Parties, asked: PageRequest
) -> Page[SettledEvent]:
    """Return a page of the events that match; ``parties`` are those that the filter names.

    Raises:
        UnusableCursor: the cursor is none of this list.
    """
    walk = _few(connection, wanted, parties) or _walk(connection, wanted, parties, asked)
    own = own_conditions(wanted, StripeEvent).keys() - walk.answered
    stated = parties.keys() - walk.answered

    def filters(event: type[StripeEvent]) -> Conditions:
        conditions = own_conditions(wanted, event)
        probed = [_states(event, parties[each], _object(wanted, each)) for each in stated]
        return [*(conditions[name] for name in sorted(own)), *probed]

    listing = Listing(
        shape=SettledEvent,
        model=StripeEvent,
        order=walk.order,
        branches=walk.branches,
        since=walk.since,
        until=walk.until,
        filters=filters if own or stated else None,
        dated="applied_at",
        searched_at_once=walk.searched_at_once,
    )
    return fetch_page(connection, listing, asked)


def _few(connection: Connection, wanted: EventFilter, parties: Parties) -> _Walk | None:
    """Return the walk along all events that can match, if they are few."""
    if wanted.event:
        beginning = select(StripeEvent.id).where(begins_with(StripeEvent.id, wanted.event))
        if capped_count(connection, beginning, FEW) <= FEW:
            return _along(connection, beginning, "event")
    if wanted.unfetched:
        unfetched = select(StripeEvent.id).where(UNFETCHED)
        if capped_count(connection, unfetched, FEW) <= FEW:
            return _along(connection, unfetched, "unfetched")
    for name, members in parties.items():
        # Facts of a party are counted along its index; which of them name an object, is not.
        if capped_count(connection, facts_about(members, None), FEW) <= FEW:
            stated = facts_about(members, _object(wanted, name))
            return _along(connection, stating(stated), name)
    return None


def _along(connection: Connection, ids: Any, answered: str) -> _Walk:
    numbers = connection.scalars(
        select(StripeEvent.settlement).where(one_of(StripeEvent.id, set(connection.scalars(ids))))
    ).all()
    found = StripeEvent.settlement == any_(cast(list(numbers), ARRAY(BigInteger)))
    return _Walk(
        branches=(Branch(conditions=(found,)),),
        answered=frozenset({answered}),
        # All of them, so that one page comes to their end.
        searched_at_once=max(len(numbers), 1) + 1,
    )


def _walk(
    connection: Connection, wanted: EventFilter, parties: Parties, asked: PageRequest
) -> _Walk:
    """Return the walk along the index that leaves the fewest rows to look at."""
    at_once = _PROBED_AT_ONCE if parties else SEARCHED_AT_ONCE
    cursor = asked.after or asked.before
    timed = bool(wanted.since or wanted.until)
    if timed and cursor:
        timed = cursor_length(cursor) == len(_BY_TIME)
    elif timed:
        timed = not any(_is_short(connection, each) for each in _by_number(wanted))
    if timed:
        return _Walk(
            order=_BY_TIME,
            since=wanted.since,
            until=wanted.until,
            answered=_TIMES,
            searched_at_once=at_once,
        )
    walks = [replace(each, searched_at_once=at_once) for each in _by_number(wanted)]
    short = (each for each in walks if len(walks) > 1 and _is_short(connection, each))
    return next(short, walks[0] if walks else _Walk(searched_at_once=at_once))


def _by_number(wanted: EventFilter) -> list[_Walk]:
    """Return the walks along an index that answers a part of the filter."""
    walks = []
    if wanted.types:
        types = dict.fromkeys(wanted.types)
        branches = tuple(Branch(pinned={"type": each}) for each in types)
        walks.append(_Walk(branches=branches, answered=frozenset({"types"})))
    if wanted.outcome not in (None, "applied"):
        without_effect = Branch(pinned={"outcome": wanted.outcome}, conditions=(WITHOUT_EFFECT,))
        walks.append(_Walk(branches=(without_effect,), answered=frozenset({"outcome"})))
    return walks


def _is_short(connection: Connection, walk: _Walk) -> bool:
    """Return whether so few events lie along a walk that one page comes to its end."""
    some = (select(StripeEvent.id).where(*each.matching(StripeEvent)) for each in walk.branches)
    most = SEARCHED_AT_ONCE
    return sum(capped_count(connection, each, most) for each in some) <= most


def _object(wanted: EventFilter, name: str) -> str | None:
    return name if name in wanted.objects else None


def _states(
    event: type[StripeEvent], parties: frozenset[str], stripe_id: str | None
) -> ColumnElement[bool]:
    """Return the condition that an event stated a fact about parties, by a look at its facts."""
    about: list[ColumnElement[bool]] = [one_of(StoredFact.party, parties)]
    about += [] if stripe_id is None else [names_object(stripe_id)]
    itself = exists().where(StoredFact.event_id == event.id, *about)
    seen = exists().where(StoredFact.event_id == any_(event.observations), *about)
    return or_(itself, event.observations.is_not(None) & seen)
