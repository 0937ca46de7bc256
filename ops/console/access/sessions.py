"""The sessions of people in PostgreSQL, which all consoles share.

A session lasts 12 hours, and 2 hours without a request. PostgreSQL keeps only a hash of its secret,
so that those who read the table can use no session. The clock is that of PostgreSQL.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_hex, token_urlsafe
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection

from models.tables import ConsoleSession

LIFETIME: Final = timedelta(hours=12)
IDLE: Final = timedelta(hours=2)
SEEN_AGAIN: Final = timedelta(minutes=1)
"""A request writes only if the one before it is longer ago."""
KEPT: Final = timedelta(days=30)
"""For how long a session that is over is listed."""
MAX_REMOVED: Final = 100
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A login: the person, the role, and that by which the person was let in."""

    person: str
    role: str
    how: str
    credential: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedSession:
    """A session that has begun; the cookie carries ``secret``."""

    id: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A session as it is stored."""

    id: str
    person: str
    role: str
    how: str
    credential: str
    source: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    unseen: timedelta
    """How long ago the last request is that was written down."""


def start_session(connection: Connection, new: NewSession) -> StartedSession:
    """Store a session with a new secret, and remove some of those that are long over."""
    started = StartedSession(id=f"ses_{token_hex(8)}", secret=token_urlsafe(_SECRET_BYTES))
    values = {field.name: getattr(new, field.name) for field in fields(new)}
    connection.execute(
        sa.insert(ConsoleSession).values(
            id=started.id,
            digest=_digest(started.secret),
            expires_at=sa.func.now() + LIFETIME,
            **values,
        )
    )
    over = (
        sa.select(ConsoleSession.id)
        .where(ConsoleSession.expires_at < sa.func.now() - KEPT)
        .order_by(ConsoleSession.expires_at)
        .limit(MAX_REMOVED)
        .with_for_update(skip_locked=True)
    )
    connection.execute(sa.delete(ConsoleSession).where(ConsoleSession.id.in_(over)))
    return started


def find_session(connection: Connection, secret: str) -> StoredSession | None:
    """Return the session with this secret, None if there is none or it is over."""
    wanted = _SESSIONS.where(ConsoleSession.digest == _digest(secret), *_still_open())
    row = connection.execute(wanted).one_or_none()
    return _stored(row) if row else None


def see_session(connection: Connection, session: StoredSession) -> None:
    """Write down that the person was there, unless another request did within ``SEEN_AGAIN``."""
    connection.execute(
        sa.update(ConsoleSession)
        .where(
            ConsoleSession.id == session.id,
            ConsoleSession.last_seen_at < sa.func.now() - SEEN_AGAIN,
        )
        .values(last_seen_at=sa.func.now())
    )


def end_session(connection: Connection, session_id: str, *, by: str) -> bool:
    """End a session; return False if it was over."""
    return bool(_end(connection, ConsoleSession.id == session_id, by=by))


def end_sessions_of(connection: Connection, name_or_id: str, *, by: str) -> Sequence[StoredSession]:
    """End the session with this id, or all of the person with this name; return those it ended."""
    named = (ConsoleSession.id == name_or_id) | (ConsoleSession.person == name_or_id)
    return _end(connection, named, by=by)


def list_sessions(
    connection: Connection, *, ended: bool = False, limit: int
) -> Sequence[StoredSession]:
    """Return the sessions that last, newest first; with ``ended`` those that are over, too."""
    wanted = _SESSIONS.order_by(ConsoleSession.created_at.desc(), ConsoleSession.id).limit(limit)
    if not ended:
        wanted = wanted.where(*_still_open())
    return [_stored(row) for row in connection.execute(wanted)]


def _end(
    connection: Connection, condition: ColumnElement[bool], *, by: str
) -> Sequence[StoredSession]:
    ending = (
        sa.update(ConsoleSession)
        .where(condition, *_still_open())
        .values(ended_at=sa.func.now(), ended_by=by)
        .returning(*_COLUMNS)
    )
    return [_stored(row) for row in connection.execute(ending)]


def _still_open() -> tuple[ColumnElement[bool], ...]:
    return (
        ConsoleSession.ended_at.is_(None),
        ConsoleSession.expires_at > sa.func.now(),
        ConsoleSession.last_seen_at > sa.func.now() - IDLE,
    )


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def _stored(row: Any) -> StoredSession:
    return StoredSession(**row._mapping)  # noqa: SLF001 - the public name of SQLAlchemy's rows


_COLUMNS: Final = (
    *(
        getattr(ConsoleSession, field.name)
        for field in fields(StoredSession)
        if field.name != "unseen"
    ),
    (sa.func.now() - ConsoleSession.last_seen_at).label("unseen"),
)
_SESSIONS: Final = sa.select(*_COLUMNS)
