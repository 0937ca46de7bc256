"""Hold docs/upgrade.md to the migrations, to what commands say, and to what they take."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine

from ops.cli import group
from paidup import __version__
from runtime import schema
from runtime.database.engine import engine_for
from tests.next_schema import NextReleases
from tests.ops.test_cli_hints import CALL, wrong_with

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "upgrade.md").read_text()


def shown() -> list[str]:
    """Return the lines of the page's blocks, without their indent and a prompt."""
    lines = re.findall(r"^(?: {4}| {8})(\S.*)$", PAGE, flags=re.MULTILINE)
    return [line.removeprefix("$ ") for line in lines]


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    yield engine
    engine.dispose()


def test_every_call_of_the_page_is_taken_as_it_is_typed() -> None:
    in_blocks = [line for line in shown() if line.startswith("paidup ") and "," not in line]
    calls = [call for call in (*in_blocks, *CALL.findall(PAGE)) if call != "paidup --version"]

    assert len(calls) > 10
    assert [call for call in calls if wrong_with(call)] == []


def test_the_table_of_releases_names_each_migration_and_ends_with_this_release() -> None:
    rows = re.findall(r"^\| (\d\S*) \| (\d{4}) \| (\d\S*) \|$", PAGE, flags=re.MULTILINE)
    migrations = [
        (script.revision, script.module.oldest_release)
        for script in reversed(list(schema._scripts().walk_revisions()))
    ]

    assert list(dict.fromkeys((revision, oldest) for _, revision, oldest in rows)) == migrations
    assert rows[-1][:2] == (__version__, schema.head())


def test_the_page_shows_what_the_version_and_an_older_checkout_s_schema_say() -> None:
    said = CliRunner().invoke(group, ["--version"], prog_name="paidup").stdout.strip()
    steps = CALL.findall(str(schema.OlderCheckoutSchema("0001")))

    assert said in shown()
    assert [step for step in steps if " ".join(step.split()[:3]) not in PAGE] == []


@pytest.mark.servers
def test_the_page_shows_what_migrate_says_when_a_release_was_put_back(
    engine: Engine, tmp_path: Path
) -> None:
    NextReleases(engine, tmp_path / "next").migrate([], oldest_release=__version__)

    assert f"the schema is {schema.described(engine)}" in shown()


def test_images_have_the_number_of_this_release() -> None:
    files = ("docker-compose.yml", "deploy/kubernetes/README.md")
    tags = {
        tag
        for file in files
        for tag in re.findall(r"(?:image: |\.com/)paidup:(\S+)", (ROOT / file).read_text())
    }
    (edited,) = re.findall(r'newTag: "(.*?)"', (ROOT / files[1]).read_text())

    assert tags == {__version__}
    assert edited == __version__
