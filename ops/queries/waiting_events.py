"""Find the events in the inbox that are about a user, a customer or an object."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from billing.ids import Realm
from ops.queries.dead_letters import about, named_by
from ops.queries.lookups import Lookup
from runtime.failures.dead_letters import DEAD_LETTER_PENDING
from runtime.inbox.entries import PeekedEvent
from runtime.inbox.inbox import Inbox

OLDEST: Final = 2000
"""The number of waiting events searched; Redis knows no users."""

MAX_PENDING: Final = 100
"""The events listed that wait in Redis to become dead letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxSearch:
    """The events that were found, or the reason why the inbox was not searched."""

    events: Sequence[PeekedEvent] = ()
    error: str | None = None


def pending_letters(inbox: Inbox) -> list[PeekedEvent]:
    """Return the first events in Redis that become dead letters once PostgreSQL takes them."""
    keys = [*inbox.conflicts(), *inbox.failed_with(DEAD_LETTER_PENDING)]
    return [each for each in inbox.peek(keys[:MAX_PENDING]) if each.state != "absent"]


def waiting_events(
    connection: Connection, inbox: Inbox, realms: Sequence[Realm], lookup: Lookup
) -> list[PeekedEvent]:
    """Return the events about what is looked up among the ``OLDEST`` that are not applied yet."""
    return events_about(connection, realms, [lookup], inbox.oldest(OLDEST))


def events_about(
    connection: Connection,
    realms: Sequence[Realm],
    lookups: Sequence[Lookup],
    events: Sequence[PeekedEvent],
    *,
    by_words: bool = False,
) -> list[PeekedEvent]:
    """Return those of the events that are about all that is looked up."""
    if not lookups:
        return list(events)
    named = {each.key: named_by(each.body.decode("utf-8", "replace")) for each in events}
    wanted = {*about(connection, realms, lookups, named, by_words=by_words)}
    return [each for each in events if each.key in wanted]
