"""The schema: brought up, taken down, and compared with what this release was built for.

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

from models.tables import APPEND_ONLY, VIEWS, metadata

APPLICATION_ROLE = "paidup_app"
"""The role that ingest-side processes may log in as: it can add to the proof, never change it."""

READER_ROLE = "paidup_reader"
"""The role that applications may log in as: it reads what users are entitled to, and no more."""

_FOR_READERS = (*VIEWS, "user_entitlements")

MIGRATION_LOCK = 0x7061_6964_7570  # "paidup"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    return config


@cache
def head() -> str:
    """The revision this release needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None, "the migrations are not installed"  # noqa: S101 - packaging
    return revision


def found(connection: Connection) -> str | None:
    """The revision the database is at; None where Paidup has never been."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to this release in one transaction, then settle who may do what."""
    with engine.begin() as connection:
        config = _locked(connection)
        command.upgrade(config, revision)
        grant_rights(connection, APPLICATION_ROLE)
        grant_reading(connection, READER_ROLE)


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Take the schema back, rows and all; for tests and for a release that is withdrawn."""
    with engine.begin() as connection:
        command.downgrade(_locked(connection), revision)


def problem(engine: Engine) -> str | None:
    """What is wrong with the schema, as a sentence that says what to do; None if it fits."""
    with engine.connect() as connection:
        at = found(connection)
    if at == head():
        return None
    if at is None:
        return "the database has no Paidup schema; run `paidup migrate`"
    if at in {script.revision for script in _scripts().walk_revisions()}:
        return f"the schema is at {at}, this release needs {head()}; run `paidup migrate`"
    return f"the schema is at {at}, which this release does not know; run a newer release"


def grant_rights(connection: Connection, role: str) -> bool:
    """Let ``role`` do its work and no more: the proof can be added to and read, never changed.

    Does nothing, and says so with False, where the role does not exist or the schema is gone.
    """
    if not _role_exists(connection, role):
        return False
    for name in (*metadata.tables, *VIEWS, "alembic_version"):
        _grant(connection, _rights(name), name, role)
    return True


def grant_reading(connection: Connection, role: str) -> bool:
    """Let ``role`` read what an application needs: views hand out nothing else of the tables."""
    if not _role_exists(connection, role):
        return False
    for name in _FOR_READERS:
        _grant(connection, "SELECT", name, role)
    return True


def _grant(connection: Connection, rights: str, name: str, role: str) -> None:
    quoted = connection.dialect.identifier_preparer.quote(role)
    connection.execute(text(f"REVOKE ALL ON {name} FROM {quoted}"))
    connection.execute(text(f"GRANT {rights} ON {name} TO {quoted}"))


def _rights(name: str) -> str:
    if name in {*VIEWS, "alembic_version"}:
        return "SELECT"
    if name in APPEND_ONLY:
        return "SELECT, INSERT"
    return "SELECT, INSERT, UPDATE, DELETE"


def _role_exists(connection: Connection, role: str) -> bool:
    known = text("SELECT 1 FROM pg_roles WHERE rolname = :role")
    return connection.scalar(known, {"role": role}) is not None


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _locked(connection: Connection) -> Config:
    connection.execute(text("SET LOCAL lock_timeout = 0"))
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
    config = _config()
    config.attributes["connection"] = connection
    return config
