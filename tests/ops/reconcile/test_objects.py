"""Stripe's objects against ours: nothing differs unless a test makes a gap."""

from collections.abc import Iterator

import pytest

from tests.ops.reconcile.company_side import CompanySides, classes, company_sides

pytestmark = pytest.mark.servers


@pytest.fixture
def both(database: str, redis_url: str) -> Iterator[CompanySides]:
    """A company at Stripe, and a database that heard nothing yet."""
    with company_sides(database, redis_url) as both:
        yield both


def test_a_company_whose_events_all_came_agrees(both: CompanySides) -> None:
    both.deliver()

    statement, differences = both.compare()

    assert classes(differences) == {}
    assert statement.agrees, statement.sentence
    print(statement.sentence)
