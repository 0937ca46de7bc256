"""The plan estimates a list from samples of it, and says what reading it costs."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.backfill.plan import (
    PAGE,
    BackfillPlan,
    ListPlan,
    ListSample,
    estimate,
    next_sample,
)

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def sampled(created: Sequence[datetime]) -> list[ListSample]:
    """Return the samples of a list that holds what was created at these times."""
    samples: list[ListSample] = []
    while (at := next_sample(samples, NOW)) is not None:
        older = sorted((each for each in created if each <= at), reverse=True)
        page = older[:PAGE]
        taken = ListSample(
            at=at,
            objects=len(page),
            newest=page[0] if page else None,
            oldest=page[-1] if page else None,
            more=len(older) > PAGE,
        )
        samples = sorted([*samples, taken], key=lambda each: each.at, reverse=True)
    return samples


def every(step: timedelta, *, days: int) -> list[datetime]:
    return [NOW - number * step for number in range(int(timedelta(days=days) / step))]


def test_a_list_of_one_page_is_counted() -> None:
    plan = ListPlan.of("refunds", sampled(every(timedelta(days=1), days=7)))

    assert (plan.objects, plan.exact, plan.requests) == (7, True, 3)


def test_an_empty_list_takes_one_request() -> None:
    plan = ListPlan.of("disputes", sampled([]))

    assert (plan.objects, plan.exact, plan.requests) == (0, True, 3)


@pytest.mark.parametrize("days", [10, 100, 400, 1500])
def test_an_even_list_is_estimated_within_a_quarter(days: int) -> None:
    created = every(timedelta(hours=1), days=days)

    plan = ListPlan.of("invoices", sampled(created))

    assert not plan.exact
    assert plan.objects == pytest.approx(len(created), rel=0.25)


def test_a_growing_list_is_estimated_within_a_third() -> None:
    created = [
        day + timedelta(seconds=86_400 / count * number)
        for back in range(700)
        for day, count in [(NOW - timedelta(days=back + 1), max((700 - back) // 10, 1))]
        for number in range(count)
    ]

    assert estimate(sampled(created)) == pytest.approx(len(created), rel=0.33)


@given(st.lists(st.integers(0, 3 * 365 * 86_400), max_size=400))
def test_an_estimate_is_never_less_than_what_was_seen(ages: list[int]) -> None:
    samples = sampled([NOW - timedelta(seconds=age) for age in ages])

    assert estimate(samples) >= samples[0].objects


def test_a_plan_says_its_time_and_its_share_of_the_reads_that_stripe_allows() -> None:
    lists = [
        ListPlan(name="customers", objects=300, exact=True, requests=3),
        ListPlan(name="invoices", objects=9_700, exact=False, requests=97),
    ]

    plan = BackfillPlan(lists=lists, rate=20)

    assert (plan.objects, plan.requests, plan.seconds) == (10_000, 100, 5.0)
    assert plan.share == pytest.approx(0.01)
