"""Check that PostgreSQL is reachable, writable, durable, at this release, and has plans."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from ops.doctor.check_changes import check_changes
from ops.doctor.check_clock import check_clock
from ops.doctor.check_locks import check_locks
from ops.doctor.check_losses import check_losses
from ops.doctor.check_standby import check_standby
from ops.doctor.check_waiting import check_waiting
from ops.doctor.findings import Finding, ok, problem, warning
from ops.plans.migrate import plans_drift
from runtime import schema
from runtime.database.engine import UnusableDatabaseUrl, engine_for
from runtime.ledger.errors import CatalogueMissing
from runtime.ledger.maintenance import scan
from runtime.settings import Settings

_CHECK = "PostgreSQL"
_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


def check_postgres(settings: Settings) -> Iterator[Finding]:
    """Check the database that is the source of truth."""
    if settings.database_url is None:
        yield problem(_CHECK, "DATABASE_URL is not set: set it, or start `paidup up`")
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
        yield problem(_CHECK, f"is unreachable: {said}; start it, or correct DATABASE_URL")
    finally:
        engine.dispose()


def _examine(engine: Engine, settings: Settings) -> Iterator[Finding]:
    with engine.connect() as connection:
        yield ok(_CHECK, f"PostgreSQL {connection.scalar(text('show server_version'))} answers")
        yield from _durability(connection)
        yield from check_standby(connection)
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
        yield from check_changes(connection)
        yield from check_losses(connection)


def _durability(connection: Connection) -> Iterator[Finding]:
    if connection.scalar(text("show transaction_read_only")) == "on":
        yield problem(_CHECK, "is read-only: point DATABASE_URL at the primary, or allow writes")
    for setting in _DURABLE:
        if connection.scalar(text(f"show {setting}")) == "off":
            says = f"{setting} is off, so a power cut may lose committed data: set it to on"
            yield problem(_CHECK, says)


def _plans(engine: Engine, settings: Settings) -> Finding:
    try:
        drift = plans_drift(engine, settings)
    except CatalogueMissing as error:
        return problem("plans", str(error))
    if drift:
        return warning("plans", drift)
    return ok("plans", f"{settings.plans_path} is the current catalogue")


def _followers(connection: Connection) -> Iterator[Finding]:
    if behind := scan.count_outdated(connection):
        says = f"{behind} customers or payments still use older plans"
        yield warning("plans", f"{says}: run `paidup plans apply --resume`")


def _time_of(connection: Connection) -> datetime:
    now: datetime = connection.execute(text("select clock_timestamp()")).scalar_one()
    return now
