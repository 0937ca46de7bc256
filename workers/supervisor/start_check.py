"""Look at the database once when a worker starts: no retry mends one that no worker can use."""

import structlog
from sqlalchemy.exc import DBAPIError

from runtime import schema
from runtime.database.engine import make_probe_engine
from runtime.database.pooler import is_behind_pooler
from runtime.database.session import UnusableEncoding
from runtime.settings import Settings

log = structlog.get_logger(__name__)


def reason_to_refuse(settings: Settings) -> str | None:
    """Return why no worker can use this database, with what to do; None if one can.

    A server that is away is no reason, nor is a schema that `paidup migrate` makes fit: the worker
    starts and waits for it.
    """
    engine = make_probe_engine(settings, application_name="paidup-start")
    try:
        with engine.connect() as connection:
            if is_behind_pooler(connection):
                log.info("a connection pooler stands between this worker and PostgreSQL")
            return schema.reason_to_refuse(connection)
    except DBAPIError as error:
        if isinstance(error.orig, UnusableEncoding):
            return str(error.orig)
    finally:
        engine.dispose()
    return None
