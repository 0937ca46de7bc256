"""The schema: upgrade it, downgrade it, and compare it with the one this release needs.

There is no alembic.ini: the configuration is made here, so ``paidup migrate`` works from any
folder. Two processes that migrate at once wait for each other.
"""

from functools import cache
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from models.tables import metadata
from runtime.database.deadline import without_deadline
from runtime.roles import grant_all

_FIRST_REVISION = "0001"

_FOLDED_REVISIONS = frozenset({"0002", "0003"})
"""Revisions that were folded into ``0001`` before the first release."""

MIGRATION_LOCK = 0x7061_6964_7570  # "paidup"


class OlderCheckoutSchema(Exception):
    """An older checkout of Paidup made the schema; no migration leads from there to this one."""

    def __init__(self, revision: str) -> None:
        super().__init__(
            f"the schema (revision {revision}) was made by an older checkout of Paidup:"
            " with that checkout empty the inbox, resolve all dead letters and run"
            " `paidup events export`; then, with this one, run `paidup migrate` on a new database"
            " and import the exported file by `paidup replay --from FILE --reason WHY`"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    return config


@cache
def head() -> str:
    """Return the revision this release needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None, "the migrations are not installed"  # noqa: S101 - packaging
    return revision


def current_revision(connection: Connection) -> str | None:
    """Return the revision of the database; None if it has no Paidup schema."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to this release in one transaction, and grant each role its rights.

    Raises:
        OlderCheckoutSchema: an older checkout made the schema; nothing was changed.
    """
    with engine.begin() as connection, without_deadline(connection):
        config = _locked(connection)
        at = current_revision(connection)
        if at is not None and _made_by_older_checkout(connection, at):
            raise OlderCheckoutSchema(at)
        command.upgrade(config, revision)
        grant_all(connection)


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Remove the schema and its rows; for tests and for a release that is withdrawn."""
    with engine.begin() as connection, without_deadline(connection):
        command.downgrade(_locked(connection), revision)


def problem(engine: Engine) -> str | None:
    """Return what is wrong with the schema and what to do, in one sentence; None if it fits."""
    with engine.connect() as connection:
        at = current_revision(connection)
        if at is None:
            return "the database has no Paidup schema; run `paidup migrate`"
        if _made_by_older_checkout(connection, at):
            return str(OlderCheckoutSchema(at))
    if at == head():
        return None
    if at in {script.revision for script in _scripts().walk_revisions()}:
        return f"the schema is at {at}, this release needs {head()}; run `paidup migrate`"
    return f"the schema is at {at}, which this release does not know; run a newer release"


_COLUMNS = text(
    "SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
    " WHERE pg_table_is_visible(attrelid) AND relname = ANY(:tables)"
    " AND attnum > 0 AND NOT attisdropped"
)


def _made_by_older_checkout(connection: Connection, revision: str) -> bool:
    if revision in _FOLDED_REVISIONS:
        return True
    # Until 0.1.0 the one revision is edited in place, so only its columns tell an older one.
    if revision != _FIRST_REVISION:
        return False
    rows = connection.execute(_COLUMNS, {"tables": list(metadata.tables)})
    present = {(table, column) for table, column in rows}
    needed = {(table.name, column.name) for table in metadata.sorted_tables for column in table.c}
    return not needed <= present


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _locked(connection: Connection) -> Config:
    connection.execute(text("SET LOCAL lock_timeout = 0"))
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
    config = _config()
    config.attributes["connection"] = connection
    return config
