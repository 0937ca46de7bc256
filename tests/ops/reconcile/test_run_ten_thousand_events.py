"""The short form of ``make bench-reconcile``: ten thousand events, 50 subscribers, 8 gaps."""

import pytest

from bench.reconcile.fill import settle_series
from ops.reconcile.agree import agree
from ops.reconcile.agreement import Agreement
from ops.reconcile.course import ComparisonRequest
from ops.reconcile.differences import FoundDifference, read_differences
from ops.reconcile.objects import scope_of
from ops.reconcile.run import PARTS
from runtime.reconciling import ComparedPart
from tests.ops.ops_env import worker_of
from tests.ops.reconcile.company_side import CompanySides, company_sides
from tests.stripe.event_series import add_series
from tests.stripe.gaps import heard_events, plant_gaps

pytestmark = pytest.mark.servers

EIGHT = (
    *("missing_event", "missing_here", "unknown_there", "other_status"),
    *("other_price", "paid_not_granted", "granted_not_paid", "amounts"),
)


def reconcile(both: CompanySides) -> tuple[Agreement, list[FoundDifference]]:
    """Compare everything and repair it, as one run."""
    wish = ComparisonRequest(
        actor="ada", reason="a test", applies_events=True, applies_objects=True
    )
    course = both.course(wish)
    compared = {part: PARTS[part](course) for part in (ComparedPart.EVENTS, ComparedPart.OBJECTS)}
    with both.engine.begin() as connection:
        statement = agree(connection, course, scope_of(course), compared)
        course.run.end(connection, "done", None, statement.document())
        return statement, read_differences(connection, course.run.id)


def test_eight_gaps_among_ten_thousand_events_are_found_repaired_and_gone(
    database: str, redis_url: str
) -> None:
    with company_sides(database, redis_url, subscribers=50, months=3) as both:
        gaps = plant_gaps(both.company, len(EIGHT), kinds=EIGHT)
        settle_series(database, add_series(both.company, 10_000))
        heard = {event.id for event in heard_events(both.company, gaps)}
        both.deliver(without=lambda event: event.id not in heard)
        both.time.during = worker_of(both.engine, both.inbox)

        statement, found = reconcile(both)
        second, left = reconcile(both)

        expected = {
            (each.name, each.classed) for gap in gaps for each in (gap.expected, *gap.beside)
        }
        assert {(each.name, str(each.classed)) for each in found} == expected
        assert {each.state for each in found} == {"repaired"}
        assert statement.events is not None
        assert statement.events >= 10_000
        assert (left, second.agrees) == ([], True)
