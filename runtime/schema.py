"""The schema: upgrade it, downgrade it, and tell whether this release may run on it.

There is no alembic.ini: the configuration is made here, so ``paidup migrate`` works from any
folder. Two processes that migrate at once wait for each other.

Each migration names the oldest release that may run on its schema, and ``schema_release`` holds
that name. A release meets a schema newer than its own while others are replaced, or when it is put
back: it goes on if the schema allows it, and touches nothing otherwise.
"""

import re
from functools import cache
from importlib.resources import files
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from paidup import __version__
from runtime.database.deadline import without_deadline
from runtime.roles import grant_all

MIGRATION_LOCK = 0x7061_6964_7570  # "paidup"

_NUMBERS: Final = re.compile(r"[0-9]+(\.[0-9]+)*")

NO_SCHEMA: Final = "the database has no Paidup schema; run `paidup migrate`"


class OlderCheckoutSchema(Exception):
    """A checkout from before the first release made the schema; no migration leads from there."""

    def __init__(self, revision: str) -> None:
        super().__init__(
            f"the schema (revision {revision}) was made by a checkout of Paidup from before 0.1.0:"
            " with that checkout empty the inbox, resolve all dead letters and run"
            " `paidup events export`; then, with this one, run `paidup migrate` on a new database"
            " and import the exported file by `paidup replay --from FILE --reason WHY`"
        )


class NewerReleaseNeeded(Exception):
    """The schema names an oldest release, and this one is older."""

    def __init__(self, revision: str, oldest_release: str) -> None:
        super().__init__(
            f"the schema (revision {revision}) needs Paidup {oldest_release} or newer, and this is"
            f" {__version__}: start that release"
        )


def misfit(revision: str | None, oldest_release: str | None) -> str | None:
    """Return why this release may not run on a schema and what to do; None if it may.

    ``oldest_release`` is None in a database from before the first release.
    """
    if revision is None:
        return NO_SCHEMA
    if refused := _refusal(revision, oldest_release):
        return str(refused)
    if revision != head() and not _is_newer(revision):
        return f"the schema is at {revision}, this release needs {head()}; run `paidup migrate`"
    return None


@cache
def head() -> str:
    """Return the revision of this release's own schema."""
    revision = _scripts().get_current_head()
    assert revision is not None, "the migrations are not installed"  # noqa: S101 - packaging
    return revision


def current_revision(connection: Connection) -> str | None:
    """Return the revision of the database; None if it has no Paidup schema."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine, revision: str = "head") -> bool:
    """Bring the schema to this release in one transaction, and grant each role its rights.

    Return False and change nothing if the schema is a newer release's on which this one may run.

    Raises:
        OlderCheckoutSchema: a checkout from before the first release made the schema.
        NewerReleaseNeeded: this release may not run on the schema.
    """
    with engine.begin() as connection, without_deadline(connection):
        config = _locked(connection)
        if (at := current_revision(connection)) is not None:
            if refused := _refusal(at, _oldest_release(connection)):
                raise refused
            if _is_newer(at):
                return False
        command.upgrade(config, revision)
        _name_oldest_release(connection)
        grant_all(connection)
        return True


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Remove the schema and its rows; for tests and for a release that is withdrawn."""
    with engine.begin() as connection, without_deadline(connection):
        command.downgrade(_locked(connection), revision)
        _name_oldest_release(connection)


def problem(engine: Engine) -> str | None:
    """Return why this release may not run on the schema and what to do; None if it may."""
    with engine.connect() as connection:
        revision = current_revision(connection)
        return misfit(revision, revision and _oldest_release(connection))


def reason_to_refuse(connection: Connection) -> str | None:
    """Return why no migration by this release makes the schema fit; None if one could."""
    revision = current_revision(connection)
    refused = revision and _refusal(revision, _oldest_release(connection))
    return str(refused) if refused else None


def described(engine: Engine) -> str:
    """Return the revision that the database is at, and say so if a newer release made it."""
    with engine.connect() as connection:
        revision = current_revision(connection) or "nothing"
    if _is_newer(revision):
        return f"at {revision}, of a newer release, on which {__version__} may run"
    return f"at {revision}"


def _refusal(
    revision: str, oldest_release: str | None
) -> OlderCheckoutSchema | NewerReleaseNeeded | None:
    if oldest_release is None:
        return OlderCheckoutSchema(revision)
    if not _reaches(__version__, oldest_release):
        return NewerReleaseNeeded(revision, oldest_release)
    return None


def _is_newer(revision: str) -> bool:
    """Return True if a newer release made the schema: no migration of this one leads there."""
    return revision not in _known()


def _oldest_release(connection: Connection) -> str | None:
    if connection.scalar(text("SELECT to_regclass('schema_release')")) is None:
        return None
    named = connection.scalar(text("SELECT oldest_release FROM schema_release"))
    return None if named is None else str(named)


def _name_oldest_release(connection: Connection) -> None:
    """Write the release that the migration of the present revision names."""
    if (revision := current_revision(connection)) is None:
        return
    named = _scripts().get_revision(revision).module.oldest_release
    connection.execute(text("UPDATE schema_release SET oldest_release = :named"), {"named": named})


@cache
def _reaches(release: str, oldest: str) -> bool:
    """Return True if a release is as new as another one: 0.10.0 is newer than 0.9.0.

    A name that this release cannot read is a newer one's. A candidate counts as its release.
    """
    return (named := _numbers(oldest)) is not None and (_numbers(release) or ()) >= named


def _numbers(release: str) -> tuple[int, ...] | None:
    """Return the numbers with which a release begins; None if there are none."""
    found = _NUMBERS.match(release)
    return tuple(map(int, found[0].split("."))) if found else None


@cache
def _known() -> frozenset[str]:
    return frozenset(script.revision for script in _scripts().walk_revisions())


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    return config


def _locked(connection: Connection) -> Config:
    connection.execute(text("SET LOCAL lock_timeout = 0"))
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
    config = _config()
    config.attributes["connection"] = connection
    return config
