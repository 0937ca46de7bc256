"""The schedule leaves a quiet account most of the requests that Stripe grants it in a month."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from billing.ids import Realm
from ops.reconcile.course import ComparisonRequest
from ops.reconcile.run import PARTS
from runtime.reconciling import ComparedPart, Loop, LoopRuns, PastRuns, loops_due
from tests.ops.reconcile.company_side import company_sides

pytestmark = pytest.mark.servers

READS_A_MONTH = 10_000
"""The least that an account may read in 30 days: https://docs.stripe.com/rate-limits."""

LOOK = timedelta(minutes=1)


def test_a_quiet_account_is_asked_for_less_than_a_quarter_of_its_reads(
    database: str, redis_url: str
) -> None:
    with company_sides(database, redis_url, subscribers=12, months=3) as both:
        both.deliver()
        requests = {}
        for part in ComparedPart:
            before = len(both.stripe.asked)
            course = both.course(
                ComparisonRequest(actor="ada", reason=None, parts=(part,), scheduled=True)
            )
            PARTS[part](course)
            requests[part] = len(both.stripe.asked) - before

    sent = sum(requests[part] * times for part, times in turns_of_a_month().items())
    assert requests[ComparedPart.UNDELIVERED] == 1
    assert sent < READS_A_MONTH / 4, requests


def turns_of_a_month() -> Counter[ComparedPart]:
    """Return how often each part is due within 30 days, if each run ends at once."""
    realm, turns, runs = Realm("live"), Counter[ComparedPart](), dict[Loop, LoopRuns]()
    begins = datetime(2026, 11, 1, tzinfo=UTC)
    for minute in range(30 * 24 * 60):
        now = begins + minute * LOOK
        for loop in loops_due([realm], PastRuns(by_loop=runs), now):
            turns[loop.part] += 1
            runs[loop] = LoopRuns(done_at=now, tried_at=now, first_at=begins)
    return turns


def test_the_turns_of_a_month_are_those_that_the_schedule_promises() -> None:
    turns = turns_of_a_month()

    assert 1390 <= turns[ComparedPart.UNDELIVERED] <= 1440
    assert turns[ComparedPart.EVENTS] == 31
    assert turns[ComparedPart.OBJECTS] == 5
