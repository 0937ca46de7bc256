"""Query the audit log page by page, newest first, by an index for each field of the filter.

Entries are numbered as they are written, so a time range is a range of numbers, whose ends a binary
search finds. Transactions that commit out of order blur an end, and the time of each entry decides.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, exists, false, select, text

from models.append_only import BY_PEOPLE
from models.tables import AuditLog, StoredFact
from ops.queries.audit import AuditEntry, AuditFilter, actors_named, own_conditions
from ops.queries.pages import (
    SEARCHED_AT_ONCE,
    Branch,
    Conditions,
    Listing,
    Page,
    PageRequest,
    fetch_page,
)
from runtime.database.one_of import one_of

FEW: Final = 2000
"""The events of parties up to which their entries are found by the events."""

_BLUR: Final = timedelta(minutes=10)
"""More than any transaction takes that writes entries."""

_OF_MACHINES: Final = ("stripe", "clock")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Indexed:
    """Conditions that one index answers, and the fields of the filter that they stand for."""

    branches: tuple[Branch, ...]
    answered: frozenset[str]


def audit_page(connection: Connection, wanted: AuditFilter, asked: PageRequest) -> Page[AuditEntry]:
    """Return a page of the entries that match.

    Raises:
        UnusableCursor: the cursor is none of this list.
    """
    found = _find(connection, wanted)
    left = own_conditions(wanted, AuditLog).keys() - found.answered
    probed = wanted.parties and "parties" not in found.answered

    def filters(log: type[AuditLog]) -> Conditions:
        conditions = own_conditions(wanted, log)
        stated = exists().where(
            StoredFact.event_id == log.event_id, one_of(StoredFact.party, wanted.parties)
        )
        return [*(conditions[name] for name in sorted(left)), *([stated] if probed else [])]

    since = wanted.since and _first_since(connection, wanted.since - _BLUR)
    until = wanted.until and _first_since(connection, wanted.until + _BLUR)
    listing = Listing(
        shape=AuditEntry,
        model=AuditLog,
        order=("id",),
        branches=found.branches,
        since=since,
        until=until,
        filters=filters if left or probed else None,
        dated="occurred_at",
        searched_at_once=SEARCHED_AT_ONCE,
    )
    return fetch_page(connection, listing, asked)


def _find(connection: Connection, wanted: AuditFilter) -> _Indexed:
    """Return the conditions by which an index finds the fewest entries."""
    conditions = own_conditions(wanted, AuditLog)
    for fields in (("event",), ("target_type", "target")):
        if conditions.keys() >= {*fields}:
            few = Branch(conditions=[conditions[name] for name in fields])
            return _Indexed(branches=(few,), answered=frozenset(fields))
    if wanted.user:
        of_user = Branch(pinned={"user_id": wanted.user})
        return _Indexed(branches=(of_user,), answered=frozenset({"user"}))
    if wanted.parties and (events := _few_events(connection, wanted.parties)) is not None:
        few = Branch(conditions=(one_of(AuditLog.event_id, events),))
        return _Indexed(branches=(few,), answered=frozenset({"parties"}))
    if wanted.actor and wanted.actor not in _OF_MACHINES:
        names = actors_named(wanted.actor)
        each = [Branch(pinned={"actor": name}, conditions=(BY_PEOPLE,)) for name in names]
        return _Indexed(branches=tuple(each), answered=frozenset({"actor"}))
    if wanted.actions:
        acted = [Branch(pinned={"action": name}) for name in _actions(connection, wanted.actions)]
        none = Branch(conditions=(false(),))
        return _Indexed(branches=tuple(acted) or (none,), answered=frozenset({"actions"}))
    return _Indexed(branches=(Branch(),), answered=frozenset())


def _few_events(connection: Connection, parties: frozenset[str]) -> list[str] | None:
    """Return the events that stated facts about the parties, or None if they are many."""
    stated = select(StoredFact.event_id).where(one_of(StoredFact.party, parties))
    events = list(connection.scalars(stated.limit(FEW + 1)))
    return events if len(events) <= FEW else None


def _actions(connection: Connection, wanted: tuple[str, ...]) -> list[str]:
    """Return the actions of the log that are wanted, whole or by their part before the dot."""
    known = connection.scalars(_ACTIONS)
    groups = tuple(f"{each}." for each in wanted)
    return [name for name in known if name in wanted or name.startswith(groups)]


def _first_since(connection: Connection, moment: datetime) -> int:
    """Return a number about which the entries pass a moment."""
    low, high = 0, int(connection.scalar(_HIGHEST) or 0) + 1
    while low < high:
        middle = (low + high) // 2
        at: Any = connection.scalar(_AT, {"number": middle})
        if at is None or at >= moment:
            high = middle
        else:
            low = middle + 1
    return low


_HIGHEST: Final = text("SELECT max(id) FROM audit_logs")
_AT: Final = text("SELECT occurred_at FROM audit_logs WHERE id >= :number ORDER BY id LIMIT 1")
_ACTIONS: Final = text("""
    WITH RECURSIVE actions (action) AS (
        (SELECT action FROM audit_logs ORDER BY action LIMIT 1)
        UNION ALL
        SELECT next.action FROM actions CROSS JOIN LATERAL (
            SELECT action FROM audit_logs WHERE action > actions.action ORDER BY action LIMIT 1
        ) AS next
    )
    SELECT action FROM actions
""")
"""Every action of the log, in as many steps as there are different ones."""
