"""The meaning of an exception for the event that raised it: the one place that says what to retry.

Failure
 ├── Infrastructure   a server is unreachable or cannot write; no attempt of the event is used
 ├── Outdated         this process and the database belong to different releases
 ├── Transient        the event met a lock of another transaction or ran out of time
 ├── Permanent        this event can never be applied as it is
 └── Unexpected       a bug or an unknown state; a few tries, then an operator decides

Only errors that say that a server is unreachable or cannot write are infrastructure: one held
lock must not stop all events.
"""

from dataclasses import dataclass
from typing import Final

import psycopg
import redis
import sqlalchemy.exc

from billing.errors import BillingError
from runtime.error_text import without_secrets
from runtime.ledger.errors import (
    IDENTITY_CONFLICT,
    CatalogueMissing,
    DeadLetterChanged,
    IdentityConflict,
    LocksOutOfOrder,
    ObservationTaken,
    SchemaOutdated,
    UnnamedEffect,
)
from runtime.redis_connection import cannot_write


@dataclass(frozen=True, slots=True, kw_only=True)
class Infrastructure:
    """A server is unreachable or cannot write; every event would meet the same."""

    error_type: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outdated:
    """The schema or the plans are missing or of another release; another worker may fit."""

    error_type: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transient:
    """This event met another transaction or was too slow; a later try may pass."""

    error_type: str
    reason: str

    @property
    def locked(self) -> bool:
        """True if a lock was held for too long; other events of the party meet it, too."""
        return self.error_type.endswith(f"({_LOCK_TIMEOUT})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Permanent:
    """No retry can apply this event; an operator has to look at it."""

    error_type: str
    reason: str
    by_server: bool = False
    """PostgreSQL or its client refused the event, which may be the fault of a setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexpected:
    """An error without a rule of its own; it is retried a few times, then an operator decides."""

    error_type: str
    reason: str


Failure = Infrastructure | Outdated | Transient | Permanent | Unexpected

LONGEST_REASON: Final = 1000
"""Characters of an error that are kept; a database may quote whole statements."""

_NO_RIGHT: Final = "42501"
_AWAY: Final = ("08", "53", "57P", "25006", _NO_RIGHT)
_CONTENDED: Final = ("55P03", "40P01", "40001", "57014", "25P03")
_LOCK_TIMEOUT: Final = "55P03"
_IMPOSSIBLE: Final = ("22", "23")
_IDLE: Final = "idle-in-transaction timeout"
"""The server ended a session that paused too long. If the client finds the connection closed while
it sends, the server's last words come without their SQLSTATE, in English or not at all."""
_PROTOCOL: Final = "08P01"
_LIMITS_OF_POOLER: Final = ("query timeout", "idle transaction timeout")
"""The words with which PgBouncer ends a statement or transaction that took longer than it allows;
its other words under that SQLSTATE say that the server is away or its pool is in use."""
_DUPLICATE_KEY: Final = "23505"
"""Two transactions may race for one key; the next try tells a race from a bug."""

_Kind = type[Infrastructure | Outdated | Transient | Permanent | Unexpected]

_BY_TYPE: Final[tuple[tuple[type[BaseException], _Kind], ...]] = (
    (SchemaOutdated, Outdated),
    (CatalogueMissing, Outdated),
    (LocksOutOfOrder, Transient),
    (DeadLetterChanged, Transient),
    (ObservationTaken, Transient),
    (BillingError, Permanent),
    (IdentityConflict, Permanent),
    (UnnamedEffect, Permanent),
    # Refused by the client before the server saw it, such as NUL in a text.
    (psycopg.DataError, Permanent),
    # Without a SQLSTATE the server never answered: refused, cut off, timed out, no such host.
    (psycopg.OperationalError, Infrastructure),
    (psycopg.InterfaceError, Infrastructure),
    (sqlalchemy.exc.DisconnectionError, Infrastructure),
    (sqlalchemy.exc.TimeoutError, Infrastructure),
    (redis.exceptions.ConnectionError, Infrastructure),
    (redis.exceptions.TimeoutError, Infrastructure),
    (redis.exceptions.OutOfMemoryError, Infrastructure),
    (ConnectionError, Infrastructure),
)


def classify(error: BaseException) -> Failure:
    """Return the kind of failure an exception stands for, whichever library wrapped it."""
    cause = _unwrapped(error)
    kind, error_type, reason = _kind(cause), _type_name(cause), _reason(cause)
    if kind is Permanent:
        by_server = isinstance(cause, psycopg.Error)
        return Permanent(error_type=error_type, reason=reason, by_server=by_server)
    return kind(error_type=error_type, reason=reason)


def may_concern_every_event(failure: Failure) -> bool:
    """Return True if the failure is of a kind that a fault of the surroundings has, too.

    ``canary`` finds out. What Paidup's own rules say about an event concerns that event alone, and
    so does a lock.
    """
    return isinstance(failure, Unexpected) or (isinstance(failure, Permanent) and failure.by_server)


def lacks_right(failure: Failure) -> bool:
    """Return True if a right is missing, which a trigger or a policy may ask of few events only."""
    return failure.error_type.endswith(f"({_NO_RIGHT})")


def _kind(cause: BaseException) -> _Kind:
    if isinstance(cause, psycopg.Error) and cause.sqlstate is not None:
        if cause.sqlstate == _PROTOCOL and str(cause).strip() in _LIMITS_OF_POOLER:
            return Transient
        return _kind_of_sqlstate(cause.sqlstate)
    if isinstance(cause, psycopg.OperationalError) and _IDLE in str(cause):
        return Transient
    if isinstance(cause, redis.exceptions.RedisError) and cannot_write(cause):
        return Infrastructure
    return next((kind for known, kind in _BY_TYPE if isinstance(cause, known)), Unexpected)


def _kind_of_sqlstate(sqlstate: str) -> _Kind:
    if sqlstate.startswith(_AWAY):
        return Infrastructure
    if sqlstate.startswith(_CONTENDED):
        return Transient
    if sqlstate.startswith(_IMPOSSIBLE) and sqlstate != _DUPLICATE_KEY:
        return Permanent
    return Unexpected


def _unwrapped(error: BaseException) -> BaseException:
    if isinstance(error, sqlalchemy.exc.DBAPIError) and error.orig is not None:
        return error.orig
    return error


def _type_name(cause: BaseException) -> str:
    if isinstance(cause, IdentityConflict):
        return IDENTITY_CONFLICT
    sqlstate = getattr(cause, "sqlstate", None)
    name = type(cause).__name__
    return f"{name} ({sqlstate})" if isinstance(sqlstate, str) else name


def _reason(cause: BaseException) -> str:
    text = without_secrets(str(cause)).strip() or "no further words"
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"
