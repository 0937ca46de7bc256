"""Find the events that are about objects and not applied: on their way, or dead letters.

Once such an event is applied, the object may no longer differ.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from models.search_terms import TERM_KINDS
from models.tables import DeadLetter, SearchTerm
from ops.queries.dead_letters import named_by
from ops.queries.waiting_events import OLDEST
from runtime.database.one_of import one_of
from runtime.inbox.inbox import Inbox


@dataclass(frozen=True, slots=True, kw_only=True)
class UnappliedEvent:
    """An event about an object; a dead one waits for a person, any other for a worker."""

    event_id: str
    is_dead: bool


def unapplied_events(
    connection: Connection, inbox: Inbox, ids: Collection[str]
) -> dict[str, UnappliedEvent]:
    """Return an event that is not applied for each of these ids of objects that one names.

    An event on its way comes before a dead letter. The inbox is searched as far as commands do.
    """
    wanted = frozenset(ids)
    found = {
        name: UnappliedEvent(event_id=event_id, is_dead=True)
        for event_id, payload in connection.execute(_letters(wanted))
        for name in named_by(payload).ids & wanted
    }
    for event in inbox.oldest(OLDEST):
        for name in named_by(event.body.decode("utf-8", "replace")).ids & wanted:
            found[name] = UnappliedEvent(event_id=event.key, is_dead=False)
    return found


def _letters(ids: Collection[str]) -> sa.Select[Any, Any]:
    named = sa.select(SearchTerm.party).where(
        SearchTerm.kind.in_(TERM_KINDS), one_of(SearchTerm.term, [each.lower() for each in ids])
    )
    return sa.select(DeadLetter.event_id, DeadLetter.payload).where(
        DeadLetter.state == "open", DeadLetter.event_id.in_(named)
    )
