"""Tell that a connection pooler stands between, and check that a migration can pass it by."""

from collections.abc import Iterator

from sqlalchemy.exc import SQLAlchemyError

from ops.doctor.findings import Finding, ok, problem
from ops.errors import first_line
from runtime.database.engine import engine_for
from runtime.database.pooler import is_behind_pooler
from runtime.settings import OWNER_VARIABLE, Settings

_CHECK = "connection pooler"


def check_pooler(settings: Settings) -> Iterator[Finding]:
    """Report the pooler of DATABASE_URL, and the way of a migration to the server itself."""
    stands = "one stands between Paidup and PostgreSQL, so each transaction brings its settings"
    if settings.owner_database_url == settings.database_url:
        yield ok(_CHECK, f"{stands}; set {OWNER_VARIABLE} when you run `paidup migrate`")
        return
    yield ok(_CHECK, stands)
    engine = engine_for(settings.owner_database_url, application_name="paidup doctor")
    try:
        with engine.connect() as connection:
            if is_behind_pooler(connection):
                says = f"{OWNER_VARIABLE} leads through a pooler, too"
                yield problem(_CHECK, f"{says}: set it to the address of the server itself")
    except SQLAlchemyError as error:
        yield problem(
            _CHECK, f"{OWNER_VARIABLE} leads nowhere: {first_line(error)}; correct it, or unset it"
        )
    finally:
        engine.dispose()
