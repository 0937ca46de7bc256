"""Migrations are frozen once they are released, and each names the oldest release on its schema."""

import re
from hashlib import sha256
from pathlib import Path

from paidup import __version__
from runtime import schema

VERSIONS = Path(__file__).parents[2] / "migrations" / "versions"
RELEASED = {
    "0001_first.py": "5d5a6b6ac84f3b41e8fc77d84fa3dc321cbf715dca8dee01beca2e1a59316c20",
}
"""The SHA-256 of every released migration, as `sha256sum migrations/versions/*.py` prints it.

A release adds its own. Nothing else changes a line: a change of the schema is a new migration.
"""

SCRIPTS = list(reversed(list(schema._scripts().walk_revisions())))


def test_each_migration_names_the_oldest_release_on_its_schema() -> None:
    for script in SCRIPTS:
        assert re.fullmatch(r"\d+\.\d+\.\d+", script.module.oldest_release), script.path


def test_no_migration_lets_an_older_release_in_again_or_names_one_that_is_still_to_come() -> None:
    named = [_numbers_of(script.module.oldest_release) for script in SCRIPTS]

    assert named == sorted(named)
    assert named[-1] <= _numbers_of(__version__)


def _numbers_of(release: str) -> tuple[int, ...]:
    numbers = schema._numbers(release)
    assert numbers is not None, release
    return numbers


def test_a_released_migration_is_as_it_was_released() -> None:
    files = {path.name: sha256(path.read_bytes()).hexdigest() for path in VERSIONS.glob("0*.py")}

    assert {name: files.get(name) for name in RELEASED} == RELEASED
