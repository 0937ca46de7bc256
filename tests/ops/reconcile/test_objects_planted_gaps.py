"""Gaps of every class in one company: all are found in the right class and repaired at once."""

import pytest

from tests.ops.reconcile.company_side import classes, company_sides
from tests.stripe.gaps import KINDS, heard_events, plant_gaps

pytestmark = pytest.mark.servers

OF_OBJECTS = [kind for kind in KINDS if kind != "missing_event"]


def test_each_planted_gap_is_found_in_its_class_repaired_and_gone(
    database: str, redis_url: str
) -> None:
    with company_sides(database, redis_url, subscribers=60, months=3) as both:
        gaps = plant_gaps(both.company, len(OF_OBJECTS), kinds=OF_OBJECTS)
        heard = {event.id for event in heard_events(both.company, gaps)}
        both.deliver(without=lambda event: event.id not in heard)
        expected = {each.name: each.classed for gap in gaps for each in (gap.expected, *gap.beside)}

        _, found = both.compare()
        _, repaired = both.compare(apply=True)
        statement, left = both.compare()

        named = {each.name: str(each.classed) for each in found}
        assert {name: named.get(name) for name in expected} == expected
        assert named.keys() == expected.keys(), "nothing else differs"
        assert {each.state for each in found} == {"stands"}
        assert classes(repaired) == {name: f"{named[name]} repaired" for name in named}
        assert (classes(left), statement.agrees) == ({}, True)
