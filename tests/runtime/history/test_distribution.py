from bisect import bisect_left
from collections import Counter
from math import ceil, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.history.distribution import Distribution, distribution_of, merge

BOUNDS = (0.1, 0.5, 1.0, 10.0, inf)
measured = st.lists(st.floats(0, 20), min_size=1, max_size=50)
shares = st.floats(0, 1)


def distribution(measurements: list[float]) -> Distribution:
    buckets = Counter(BOUNDS[bisect_left(BOUNDS, each)] for each in measurements)
    return Distribution(BOUNDS, tuple(buckets[bound] for bound in BOUNDS))


@given(measured, shares)
def test_a_percentile_lies_in_the_bucket_of_the_measurement_of_that_rank(
    measurements: list[float], share: float
) -> None:
    rank = max(ceil(share * len(measurements)), 1)
    at = bisect_left(BOUNDS, sorted(measurements)[rank - 1])
    lowest = BOUNDS[at - 1] if at else 0.0

    percentile = distribution(measurements).percentile(share)

    assert percentile is not None
    assert lowest <= percentile <= BOUNDS[at]
    assert percentile < inf


@given(measured, shares, shares)
def test_a_larger_share_has_no_lower_percentile(
    measurements: list[float], one: float, other: float
) -> None:
    made = distribution(measurements)

    low, high = made.percentile(min(one, other)), made.percentile(max(one, other))

    assert low is not None
    assert high is not None
    assert low <= high


@given(measured, measured)
def test_merged_distributions_are_that_of_all_measurements(
    one: list[float], other: list[float]
) -> None:
    assert merge([distribution(one), distribution(other)]) == distribution(one + other)


def test_a_percentile_is_interpolated_within_its_bucket() -> None:
    assert distribution([0.2, 0.2, 0.2, 0.2]).percentile(0.5) == pytest.approx(0.3)


def test_no_measurement_has_no_percentile() -> None:
    assert distribution([]).percentile(0.99) is None
    assert merge([]).percentile(0.99) is None


def test_beyond_the_last_bound_a_percentile_is_that_bound() -> None:
    assert distribution([50.0]).percentile(0.5) == 10.0


def test_distributions_of_two_releases_keep_the_bounds_of_both() -> None:
    merged = merge([distribution_of({1.0: 2}), distribution_of({2.0: 1, 1.0: 1})])

    assert (merged.bounds, merged.numbers, merged.total) == ((1.0, 2.0), (3, 1), 4)
