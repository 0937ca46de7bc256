"""Whether PostgreSQL is there, can be written, is at this release and has plans."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from ops.doctor.check_changes import check_changes
from ops.doctor.check_clock import check_clock
from ops.doctor.check_locks import check_locks
from ops.doctor.check_waiting import check_waiting
from ops.doctor.findings import Finding, ok, problem, warning
from ops.plans.migrate import plans_drift
from runtime import schema
from runtime.database.engine import UnusableDatabaseUrl, engine_for
from runtime.ledger.errors import CatalogueMissing
from runtime.ledger.maintenance import scan as walk
from runtime.settings import Settings

_CHECK = "PostgreSQL"
_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


def check_postgres(settings: Settings) -> Iterator[Finding]:
    """Everything about the database that is the authority."""
    if settings.database_url is None:
        yield problem(_CHECK, "DATABASE_URL is not set, and no `paidup up` runs here")
        return
    try:
        engine = engine_for(settings.database_url, application_name="paidup doctor")
    except UnusableDatabaseUrl as error:
        yield problem(_CHECK, str(error))
        return
    try:
        yield from _examine(engine, settings)
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        yield problem(_CHECK, f"does not answer: {said}")
    finally:
        engine.dispose()


def _examine(engine: Engine, settings: Settings) -> Iterator[Finding]:
    with engine.connect() as connection:
        yield ok(_CHECK, f"PostgreSQL {connection.scalar(text('show server_version'))} answers")
        yield from _durability(connection)
        yield from check_locks(connection)
        yield check_clock("PostgreSQL clock", lambda: _time_of(connection))
    if trouble := schema.problem(engine):
        yield problem("schema", trouble)
        return
    yield ok("schema", f"at {schema.head()}")
    yield _plans(engine, settings)
    with engine.connect() as connection:
        yield from _followers(connection)
        yield from check_waiting(connection)
        yield from check_changes(connection, settings)


def _durability(connection: Connection) -> Iterator[Finding]:
    if connection.scalar(text("show transaction_read_only")) == "on":
        yield problem(_CHECK, "it takes no writes (a replica, or set read only)")
    for setting in _DURABLE:
        if connection.scalar(text(f"show {setting}")) == "off":
            yield problem(_CHECK, f"{setting} is off: a power cut may undo what was committed")


def _plans(engine: Engine, settings: Settings) -> Finding:
    try:
        drift = plans_drift(engine, settings)
    except CatalogueMissing as error:
        return problem("plans", str(error))
    if drift:
        return warning("plans", drift)
    return ok("plans", f"{settings.plans_path} is the catalogue of record")


def _followers(connection: Connection) -> Iterator[Finding]:
    if behind := walk.count_outdated(connection):
        says = f"{behind} customers or payments still follow older plans"
        yield warning("plans", f"{says}: `paidup plans apply --resume` goes on")


def _time_of(connection: Connection) -> datetime:
    now: datetime = connection.execute(text("select clock_timestamp()")).scalar_one()
    return now
