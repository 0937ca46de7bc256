"""Check that PostgreSQL is reachable, writable, durable, at this release, and has plans.

Its lock table must have room for every lock that workers may hold at once, and readers must see
entitlement changes in time.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from math import ceil

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from ops.doctor.check_access import check_access
from ops.doctor.check_accounts import check_accounts
from ops.doctor.check_archives import check_archives
from ops.doctor.check_clock import check_clock
from ops.doctor.check_losses import check_losses
from ops.doctor.check_pooler import check_pooler
from ops.doctor.check_reconcile import CHECK, check_reconcile
from ops.doctor.check_recording import check_recording
from ops.doctor.check_roles import check_roles
from ops.doctor.check_standby import check_standby
from ops.doctor.check_waiting import check_waiting
from ops.doctor.findings import Finding, State, ok, problem, warning
from ops.doctor.on_its_own import on_its_own, on_its_own_connection
from ops.errors import first_line
from ops.plans.migrate import plans_drift
from ops.terminal.formats import format_count, format_duration
from runtime import schema
from runtime.changes.feed import read_newest, waiting_seconds
from runtime.database.engine import UnusableDatabaseUrl, engine_for
from runtime.database.pooler import is_behind_pooler
from runtime.database.session import UnusableEncoding
from runtime.inbox.inbox import MAX_EVENTS
from runtime.ledger.errors import CatalogueMissing
from runtime.ledger.maintenance import scan
from runtime.settings import Settings

_CHECK = "PostgreSQL"
_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
_LATE_SECONDS = 10.0
_ROOM = text(
    "SELECT current_setting('max_locks_per_transaction')::int AS of_each,"
    " current_setting('max_connections')::int"
    " + current_setting('max_prepared_transactions')::int AS sessions,"
    " (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    "  AND application_name LIKE 'paidup-worker-%') AS workers"
)


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
        yield _failed(error)
    finally:
        engine.dispose()


def _failed(error: SQLAlchemyError) -> Finding:
    cause = getattr(error, "orig", None)
    if isinstance(cause, UnusableEncoding):
        return problem(_CHECK, str(cause))
    return problem(
        _CHECK, f"is unreachable: {first_line(error)}; start it, or correct DATABASE_URL"
    )


def _examine(engine: Engine, settings: Settings) -> Iterator[Finding]:
    with engine.connect() as connection:
        yield ok(_CHECK, f"PostgreSQL {connection.scalar(text('show server_version'))} answers")
        if is_behind_pooler(connection):
            yield from check_pooler(settings)
        yield from _durability(connection)
        yield from on_its_own(connection, "PostgreSQL standby", check_standby)
        yield from on_its_own(connection, "locks", check_locks)
        yield check_clock("PostgreSQL clock", lambda: _time_of(connection))
        yield from on_its_own(connection, "rights", check_roles)
    found = on_its_own_connection("schema", partial(_schema, engine))
    yield from found
    if any(each.state is State.PROBLEM for each in found):
        return  # the other checks would fail for the same reason
    yield from on_its_own_connection("plans", partial(_plans, engine, settings))
    yield check_recording(engine)
    with engine.connect() as connection:
        yield from on_its_own(connection, "plans", _check_outdated)
        yield from check_waiting(connection)
        yield from on_its_own(connection, "accounts", check_accounts)
        yield from on_its_own(connection, "archives", check_archives)
        yield from on_its_own(connection, "changes", check_changes)
        yield from on_its_own(connection, "lost data", check_losses)
        yield from on_its_own(connection, CHECK, lambda opened: check_reconcile(opened, settings))
        yield from on_its_own(connection, "access", check_access)


def _schema(engine: Engine) -> Iterator[Finding]:
    if trouble := schema.problem(engine):
        yield problem("schema", trouble)
    else:
        yield ok("schema", schema.described(engine))


def _check_outdated(connection: Connection) -> Iterator[Finding]:
    if behind := scan.count_outdated(connection):
        says = f"{format_count(behind, 'party still uses', 'parties still use')} older plans"
        yield warning("plans", f"{says}: run `paidup plans apply --resume`")


def _durability(connection: Connection) -> Iterator[Finding]:
    if connection.scalar(text("show transaction_read_only")) == "on":
        yield problem(_CHECK, "is read-only: point DATABASE_URL at the primary, or allow writes")
    for setting in _DURABLE:
        if connection.scalar(text(f"show {setting}")) == "off":
            says = f"{setting} is off, so a power cut may lose committed data: set it to on"
            yield problem(_CHECK, says)


def _plans(engine: Engine, settings: Settings) -> Iterator[Finding]:
    try:
        drift = plans_drift(engine, settings)
    except CatalogueMissing as error:
        yield problem("plans", str(error))
        return
    if drift:
        yield warning("plans", drift)
    else:
        yield ok("plans", f"{settings.plans_path} is the current catalogue")


def check_locks(connection: Connection, *, claimed: int = MAX_EVENTS) -> Iterator[Finding]:
    """Report missing room. A batch has at most ``claimed`` events, each of a party of its own."""
    of_each, sessions, workers = connection.execute(_ROOM).one()
    if (wanted := locks_per_transaction(workers * claimed, sessions)) > of_each:
        says = f"the worker processes ({workers}) may lock {workers * claimed} parties at once"
        room = f"PostgreSQL has room for {of_each * sessions}"
        yield warning("locks", f"{says}, {room}: set max_locks_per_transaction to {wanted}")


def locks_per_transaction(locks: int, sessions: int) -> int:
    """Return the ``max_locks_per_transaction`` that gives room for ``locks`` over all sessions."""
    return ceil(locks / sessions)


def check_changes(connection: Connection) -> Iterator[Finding]:
    """Report the age of the oldest change that has no number yet, so that no reader sees it."""
    waiting = waiting_seconds(connection)
    newest = read_newest(connection).cursor
    if waiting > _LATE_SECONDS:
        says = f"the oldest change that readers cannot see yet is {format_duration(waiting)} old"
        yield warning(
            "changes", f"{says}: start `paidup worker`, or look at its log for the reason"
        )
    else:
        yield ok("changes", f"readers see every change; the newest is {newest}")


def _time_of(connection: Connection) -> datetime:
    now: datetime = connection.execute(text("select clock_timestamp()")).scalar_one()
    return now
