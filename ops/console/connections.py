"""Read-only connections for requests, with a short time limit on every answer."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from runtime.database.deadline import DeadlineConnection, NoAnswer
from runtime.database.engine import connector, conninfo_of, engine_on
from runtime.database.pooler import PooledStatement
from runtime.database.session import SESSION
from runtime.settings import Settings

ANSWER_SECONDS: Final = 1.0
_CONNECT_SECONDS: Final = 2  # libpq knows nothing shorter
_SESSION: Final = {
    **SESSION,
    "statement_timeout": "900ms",
    "default_transaction_read_only": "on",
    # A plan made while the tables were empty scans them sequentially for as long as it is cached.
    "enable_seqscan": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}

PAGE_SECONDS: Final = 3.0
_PAGE_SESSION: Final = {
    **SESSION,
    "statement_timeout": "2800ms",
    "default_transaction_read_only": "on",
    # Pages ask different questions of tables that grow, so no plan is worth keeping.
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
}
_PAGE_POOL_SECONDS: Final = 2.0

T = TypeVar("T")


class HastyConnection(DeadlineConnection):
    """A connection that waits at most a second for an answer and prepares every statement."""

    answer_seconds = ANSWER_SECONDS

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.prepare_threshold = 0

    def stand_behind_pooler(self, transaction_settings: str) -> None:
        """Send the settings with each statement: in autocommit mode it is a transaction."""
        super().stand_behind_pooler(transaction_settings)
        self.cursor_factory = PooledStatement


def hasty_engine(settings: Settings, *, application_name: str, pool_size: int) -> Engine:
    """Make an engine of such connections; make it after the fork, and dispose it yourself.

    Raises:
        UnusableDatabaseUrl: if DATABASE_URL is not one of PostgreSQL.
    """
    connect = connector(
        conninfo_of(settings.database_url),
        application_name=application_name,
        kind=HastyConnection,
        session=_SESSION,
        connect_seconds=_CONNECT_SECONDS,
    )
    return engine_on(
        connect,
        isolation_level="AUTOCOMMIT",
        pool_reset_on_return=None,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=ANSWER_SECONDS,
        pool_use_lifo=True,
    )


class PageConnection(DeadlineConnection):
    """A connection of a page, which a person waits for: longer than an application would."""

    answer_seconds = PAGE_SECONDS


def page_engine(settings: Settings, *, pool_size: int) -> Engine:
    """Make an engine whose transactions read one snapshot; make it after the fork.

    Raises:
        UnusableDatabaseUrl: if DATABASE_URL is not one of PostgreSQL.
    """
    connect = connector(
        conninfo_of(settings.database_url),
        application_name="paidup console pages",
        kind=PageConnection,
        session=_PAGE_SESSION,
        connect_seconds=_CONNECT_SECONDS,
    )
    return engine_on(
        connect,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_PAGE_POOL_SECONDS,
        pool_use_lifo=True,
    ).execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def ask(engine: Engine, question: Callable[[Connection], T]) -> T:
    """Return the answer; ask again if PostgreSQL restarted while the connection was idle.

    Raises:
        SQLAlchemyError: if the database did not answer in time.
    """
    try:
        with engine.connect() as connection:
            return question(connection)
    except DBAPIError as error:
        if not error.connection_invalidated or isinstance(error.orig, NoAnswer):
            raise
    # The pool has replaced all of its connections.
    with engine.connect() as connection:
        return question(connection)
