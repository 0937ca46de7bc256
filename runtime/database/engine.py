"""Connections to PostgreSQL with bounds on how long anything may take."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Literal

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.pool import ConnectionPoolEntry

from runtime.database.array_params import send_columns
from runtime.database.deadline import DeadlineConnection, ProbeConnection
from runtime.database.first_host import first_connection, hosts_of
from runtime.database.pooler import begin_with_settings
from runtime.database.session import SESSION, set_up_session
from runtime.settings import Settings
from runtime.time_limits import (
    CONNECT_TIMEOUT_SECONDS,
    KEEPALIVE_IDLE_SECONDS,
    KEEPALIVE_SECONDS,
    UNACKNOWLEDGED_SECONDS,
)

IsolationLevel = Literal["READ COMMITTED", "AUTOCOMMIT"]

KEEPALIVES: dict[str, Any] = {
    "keepalives_idle": KEEPALIVE_IDLE_SECONDS,
    "keepalives_interval": KEEPALIVE_SECONDS,
    "keepalives_count": 3,
    "tcp_user_timeout": round(UNACKNOWLEDGED_SECONDS * 1000),
}
"""A peer that vanished without closing is noticed in 25 s at most, and after
``UNACKNOWLEDGED_SECONDS`` if we sent it anything."""

WRONG_SERVER: Final = ("08", "25006", "53", "57P")
"""SQLSTATEs of a server that is leaving or takes no writes: the next connection may reach the new
primary, while every session that is open now may be on the old one."""

SCHEMES = ("postgresql+psycopg://", "postgresql://", "postgres://")


class UnusableDatabaseUrl(Exception):
    """DATABASE_URL is missing or of another database; the message never repeats the URL."""

    def __init__(self) -> None:
        super().__init__(
            "DATABASE_URL must start with postgresql:// or postgres://;"
            " a unix socket goes into ?host="
        )


def make_engine(settings: Settings, *, application_name: str, pool_size: int = 2) -> Engine:
    """Return the engine of this process; see ``engine_for``."""
    return engine_for(settings.database_url, application_name=application_name, pool_size=pool_size)


def engine_for(database_url: str | None, *, application_name: str, pool_size: int = 2) -> Engine:
    """Return an engine without open connections; make it after the fork, and dispose it.

    An error of a server that cannot write drops all connections of the pool, see ``WRONG_SERVER``.

    The URL goes to libpq unchanged, in any form that libpq accepts: SQLAlchemy's own parser knows
    fewer forms and would refuse sockets, several hosts and service files.

    Raises:
        UnusableDatabaseUrl: the URL is not one of PostgreSQL.
    """
    engine = engine_on(
        connector(conninfo_of(database_url), application_name=application_name),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        pool_pre_ping=True,
    )
    event.listen(engine, "handle_error", _leave_wrong_server)
    return engine


def make_probe_engine(settings: Settings, *, application_name: str) -> Engine:
    """Return an engine of one connection; dispose of it before and after each probe.

    A connection that was open before may be on a server that is no primary any more, and a probe on
    it would always fail. Within a probe one connection is enough.

    Raises:
        UnusableDatabaseUrl: the URL is not one of PostgreSQL.
    """
    connect = connector(
        conninfo_of(settings.database_url), application_name=application_name, kind=ProbeConnection
    )
    return engine_on(connect, pool_size=1, max_overflow=0, pool_timeout=CONNECT_TIMEOUT_SECONDS)


def _leave_wrong_server(context: ExceptionContext) -> None:
    sqlstate = getattr(context.original_exception, "sqlstate", None) or ""
    if sqlstate.startswith(WRONG_SERVER):
        context.is_disconnect = True


def conninfo_of(database_url: str | None) -> str:
    """Return the URL with the one scheme that libpq knows.

    Raises:
        UnusableDatabaseUrl: the URL is not one of PostgreSQL.
    """
    for scheme in SCHEMES:
        if database_url is not None and database_url.lower().startswith(scheme):
            return "postgresql://" + database_url[len(scheme) :]
    raise UnusableDatabaseUrl


def connector(
    conninfo: str,
    *,
    application_name: str,
    kind: type[DeadlineConnection] = DeadlineConnection,
    session: Mapping[str, str] = SESSION,
    connect_seconds: int = CONNECT_TIMEOUT_SECONDS,
) -> Callable[[], DeadlineConnection]:
    """Return a function that opens the connections of a pool, each bounded by ``session``."""
    open_one = partial(
        kind.connect,
        autocommit=True,
        connect_timeout=connect_seconds,
        application_name=application_name,
        client_encoding="UTF8",  # columns are sent in it, whatever the operator's environment
        **KEEPALIVES,
    )

    def connect() -> DeadlineConnection:
        connection = first_connection([partial(open_one, host) for host in hosts_of(conninfo)])
        try:
            send_columns(connection)
            set_up_session(connection, session)
        except BaseException:
            connection.close()
            raise
        connection.autocommit = False
        return connection

    return connect


def engine_on(
    connect: Callable[[], DeadlineConnection],
    *,
    isolation_level: IsolationLevel = "READ COMMITTED",
    **options: Any,
) -> Engine:
    """Return an engine on the connections of a ``connector``; ``options`` concern its pool."""
    engine = create_engine(
        "postgresql+psycopg://",
        creator=connect,
        isolation_level=isolation_level,
        hide_parameters=True,  # the values are payloads and addresses, and errors are logged
        **options,
    )
    if isolation_level != "AUTOCOMMIT":
        event.listen(engine, "begin", begin_with_settings)
    event.listen(engine, "checkin", _look_again_for_tables)
    return engine


def _look_again_for_tables(connection: object, record: ConnectionPoolEntry) -> None:
    """Open another connection next time if this one was opened before a migration."""
    if isinstance(connection, DeadlineConnection) and not connection.finds_tables:
        record.invalidate(soft=True)
