"""How Paidup is doing, in numbers: the inbox as Redis tells it, the rest as PostgreSQL does.

One of the two may be away: the other half is told all the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from models.dead_letters import STATES
from models.tables import DeadLetter, StoredCatalogue
from ops import connections as doors
from ops.errors import NotDone
from ops.queries.events import count_unfetched
from ops.queries.throughput import settled_since
from ops.status.sizing import Need, need, rate_of_each, window
from runtime.database.engine import UnusableDatabaseUrl
from runtime.inbox.entries import Backlog
from runtime.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What the database says; ``meanwhile`` was settled while the oldest due event waited."""

    at: datetime
    last_minute: int
    last_hour: int
    meanwhile: int
    letters: Mapping[str, int]
    catalogue_version: int | None
    unfetched: int = 0
    """Settled events that Stripe's API has more to say about, and was not asked yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Both halves, or why one is missing."""

    inbox: Backlog | None
    books: Books | None
    troubles: Mapping[str, str]
    need: Need | None


def look(settings: Settings, *, before: Overview | None = None) -> Overview:
    """The numbers of this moment; an earlier look tells how much comes in."""
    troubles: dict[str, str] = {}
    inbox = _inbox(settings, troubles)
    busy = window(inbox.waiting_seconds) if inbox else None
    books = _books(settings, busy, troubles)
    return Overview(
        inbox=inbox, books=books, troubles=troubles, need=_need(inbox, books, busy, before)
    )


def _inbox(settings: Settings, troubles: dict[str, str]) -> Backlog | None:
    try:
        with doors.asking_inbox(settings) as inbox:
            return inbox.backlog()
    except NotDone as error:
        troubles["redis"] = str(error)
    return None


def _books(settings: Settings, busy: float | None, troubles: dict[str, str]) -> Books | None:
    if settings.database_url is None:
        troubles["postgresql"] = "DATABASE_URL is not set: what is settled cannot be seen"
        return None
    try:
        with doors.database(settings, asker="status") as engine, doors.snapshot(engine) as opened:
            return _read(opened, busy)
    except (NotDone, UnusableDatabaseUrl) as error:
        troubles["postgresql"] = str(error)
    except SQLAlchemyError as error:
        troubles["postgresql"] = str(doors.away("PostgreSQL", error))
    return None


def _read(connection: Connection, busy: float | None) -> Books:
    at = connection.execute(select(func.now())).scalar_one()
    counts = select(DeadLetter.state, func.count()).group_by(DeadLetter.state)
    letters = {state: number for state, number in connection.execute(counts)}  # noqa: C416 - rows
    return Books(
        at=at,
        last_minute=settled_since(connection, at - timedelta(minutes=1)),
        last_hour=settled_since(connection, at - timedelta(hours=1)),
        meanwhile=settled_since(connection, at - timedelta(seconds=busy)) if busy else 0,
        letters={state: letters.get(state, 0) for state in STATES},
        catalogue_version=connection.scalar(select(func.max(StoredCatalogue.version))),
        unfetched=count_unfetched(connection),
    )


def _need(
    inbox: Backlog | None, books: Books | None, busy: float | None, before: Overview | None
) -> Need | None:
    if inbox is None:
        return None
    rate = rate_of_each(
        settled=books.meanwhile if books else 0, seconds=busy, processes=inbox.processes
    )
    earlier = before.inbox if before else None
    return need(backlog=inbox.due + inbox.claimed, arriving=arriving(earlier, inbox), rate=rate)


def arriving(before: Backlog | None, after: Backlog) -> float:
    """Events a second that came in between two looks; nothing is known from one."""
    if before is None or after.at <= before.at:
        return 0.0
    seconds = (after.at - before.at).total_seconds()
    came = sum(
        _counted(after, name) - _counted(before, name) for name in ("accepted", "readmitted")
    )
    return max(came, 0) / seconds


def _counted(backlog: Backlog, name: str) -> int:
    return backlog.counters.get(name, 0)
