from collections import Counter
from itertools import pairwise

import pytest

from bench.mixes import OLD
from bench.simulate.arrivals import ArrivalPlan

BUSY = sum(each.customers for each in OLD)


def test_the_mean_rate_is_that_of_the_plan_with_bursts_and_all() -> None:
    events = sum(1 for _ in ArrivalPlan(rate=500).arrivals(200.0))

    assert events / 200 == pytest.approx(500, rel=0.05)


def test_events_come_in_order_and_the_same_for_the_same_seed() -> None:
    events = list(ArrivalPlan(rate=200).arrivals(5.0))

    assert all(before.seconds <= after.seconds for before, after in pairwise(events))
    assert events == list(ArrivalPlan(rate=200).arrivals(5.0))
    assert events != list(ArrivalPlan(rate=200, seed=2).arrivals(5.0))


def test_more_parties_begin_in_a_burst() -> None:
    plan = ArrivalPlan(rate=2000, gap_seconds=0.001, burst_factor=5.0)
    by_half = Counter(int(event.seconds * 2) for event in plan.arrivals(10.0))

    assert by_half[0] > 3 * by_half[10]


def test_busy_parties_have_their_share_of_the_events() -> None:
    events = list(ArrivalPlan(rate=2000).arrivals(20.0))

    share = sum(event.party <= BUSY for event in events) / len(events)
    assert share == pytest.approx(sum(1 / each.every for each in OLD), rel=0.05)
    assert {event.party for event in events if event.party <= BUSY} == set(range(1, BUSY + 1))


def test_a_party_has_as_many_events_as_the_plan_says() -> None:
    plan = ArrivalPlan(rate=500, events_of_party=3, gap_seconds=0.01)
    times = Counter(event.party for event in plan.arrivals(20.0) if event.party > BUSY)

    assert max(times.values()) == 3
