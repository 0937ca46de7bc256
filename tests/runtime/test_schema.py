"""A release may run on the schemas that name it or an older one, and on no other."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from ops.errors import user_message
from paidup import __version__
from runtime import schema
from runtime.database.engine import engine_for
from runtime.schema import NO_SCHEMA, head, misfit
from tests.next_schema import NextReleases

servers = pytest.mark.servers


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="test")
    yield engine
    engine.dispose()


@pytest.fixture
def next_releases(engine: Engine, tmp_path: Path) -> NextReleases:
    return NextReleases(engine, tmp_path / "next")


@pytest.fixture
def of_release(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(schema, "__version__", "0.9.0")
    return monkeypatch


@pytest.mark.usefixtures("of_release")
@pytest.mark.parametrize(
    ("revision", "oldest_release"),
    [
        (head(), "0.1.0"),
        (head(), "0.9.0"),
        ("9999", "0.1.0"),
        ("9999", "0.9.0"),
        ("9999", "0.8.9"),
        ("9999", "0.9.0rc1"),
    ],
)
def test_a_schema_that_names_this_release_or_an_older_one_fits(
    revision: str, oldest_release: str
) -> None:
    assert misfit(revision, oldest_release) is None


@pytest.mark.usefixtures("of_release")
@pytest.mark.parametrize("oldest_release", ["0.9.1", "0.10.0", "1.0.0", "0.10.0rc1", "spring"])
@pytest.mark.parametrize("revision", [head(), "9999"])
def test_a_schema_that_names_a_newer_release_says_which_one_to_start(
    revision: str, oldest_release: str
) -> None:
    assert misfit(revision, oldest_release) == (
        f"the schema (revision {revision}) needs Paidup {oldest_release} or newer, and this is"
        " 0.9.0: start that release"
    )


def test_an_older_schema_says_to_migrate(monkeypatch: pytest.MonkeyPatch) -> None:
    older = head()
    monkeypatch.setattr(schema, "head", lambda: "9999")

    assert misfit(older, "0.1.0") == (
        f"the schema is at {older}, this release needs 9999; run `paidup migrate`"
    )


def test_no_schema_says_to_migrate() -> None:
    assert misfit(None, None) == NO_SCHEMA
    assert "`paidup migrate`" in NO_SCHEMA


@servers
def test_a_migration_writes_the_oldest_release_that_it_names(
    engine: Engine, next_releases: NextReleases
) -> None:
    assert _oldest_release(engine) == "0.1.0"

    next_releases.migrate(["ALTER TABLE customers ADD COLUMN note TEXT"], oldest_release="7.1.0")

    assert _oldest_release(engine) == "7.1.0"


@servers
def test_migrating_with_an_older_release_leaves_a_schema_that_allows_it(
    engine: Engine, next_releases: NextReleases
) -> None:
    assert schema.described(engine) == f"at {head()}"
    next_releases.migrate(["DROP TABLE idempotency_keys"], oldest_release=__version__)

    assert not schema.upgrade(engine)

    assert schema.problem(engine) is None
    assert schema.described(engine) == (
        f"at {next_releases.revision}, of a newer release, on which {__version__} may run"
    )


@servers
def test_migrating_with_a_release_that_is_too_old_is_refused_in_one_sentence(
    engine: Engine, next_releases: NextReleases
) -> None:
    next_releases.migrate(["DROP TABLE idempotency_keys"], oldest_release="9.0.0")

    with pytest.raises(schema.NewerReleaseNeeded) as refused:
        schema.upgrade(engine)

    assert user_message(refused.value) == str(refused.value) == schema.problem(engine)
    with engine.connect() as connection:
        assert schema.reason_to_refuse(connection) == str(refused.value)


@servers
def test_what_a_migration_can_mend_is_no_reason_to_refuse_the_start(engine: Engine) -> None:
    with engine.connect() as connection:
        assert schema.reason_to_refuse(connection) is None
    schema.downgrade(engine)
    with engine.connect() as connection:
        assert schema.reason_to_refuse(connection) is None


def _oldest_release(engine: Engine) -> object:
    with engine.connect() as connection:
        return connection.scalar(text("SELECT oldest_release FROM schema_release"))
