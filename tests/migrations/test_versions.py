"""Migrations are frozen once they are released, and each names the oldest release on its schema."""

import re

from paidup import __version__
from runtime import schema

SCRIPTS = list(reversed(list(schema._scripts().walk_revisions())))


def test_each_migration_names_the_oldest_release_on_its_schema() -> None:
    for script in SCRIPTS:
        assert re.fullmatch(r"\d+\.\d+\.\d+", script.module.oldest_release), script.path


def test_no_migration_lets_an_older_release_in_again_or_names_one_that_is_still_to_come() -> None:
    named = [schema._numbers(script.module.oldest_release) for script in SCRIPTS]

    assert named == sorted(named)
    assert named[-1] <= schema._numbers(__version__)
