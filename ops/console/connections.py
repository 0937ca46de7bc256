"""Read-only connections for requests, with a time limit on every answer.

A frozen server sends no error, and its own time limits freeze with it. So each connection enforces
the limit itself. It is closed then, because the answer may still come.
"""

from typing import Any, Final

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, create_engine

from runtime.database.engine import SESSION, connector, conninfo_of
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


class NoAnswer(psycopg.OperationalError):
    """Raised if the server did not answer in time; the connection is closed."""


class HastyConnection(psycopg.Connection[Any]):
    """A connection that waits at most a second for an answer and prepares every statement."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.prepare_threshold = 0

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait for an answer, for ``ANSWER_SECONDS`` if no limit is given."""
        try:
            return super().wait(gen, interval, ANSWER_SECONDS if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.close()
                raise NoAnswer("PostgreSQL did not answer in time") from error
            raise


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
    return create_engine(
        "postgresql+psycopg://",
        creator=connect,
        isolation_level="AUTOCOMMIT",
        pool_reset_on_return=None,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=ANSWER_SECONDS,
        pool_use_lifo=True,
    )
