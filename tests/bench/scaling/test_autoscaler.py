from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from bench.scaling.autoscaler import SYNC_SECONDS, Autoscaler, ScalingRules, read_rules

RULES = replace(read_rules(fewest=1, most=20, processes_each=1), poll_seconds=60.0)


def minutes(values: Sequence[int | None], rules: ScalingRules = RULES) -> Iterator[int]:
    """Yield the number of workers at the end of each minute, for its value."""
    now = [0.0]
    autoscaler = Autoscaler(rules, lambda: values[int(now[0] // 60)])
    for _ in values:
        for _ in range(4):
            autoscaler.look(now[0])
            now[0] += SYNC_SECONDS
        yield autoscaler.workers


def test_the_settings_are_those_of_the_manifest() -> None:
    assert (RULES.up.window_seconds, RULES.down.window_seconds) == (0, 300)
    assert [policy.percent for policy in RULES.up.policies] == [True, False]


def test_it_follows_a_value_that_rises_and_takes_one_step_a_minute() -> None:
    assert list(minutes([1, 2, 2, 5, 6])) == [1, 2, 2, 5, 6]


def test_it_goes_down_only_when_the_value_has_been_low_for_the_whole_window() -> None:
    assert list(minutes([8, 8, 2, 2, 2, 2, 8, *[2] * 6]))[1:] == [*[8] * 11, 4]


def test_it_halves_the_number_in_a_minute_at_most() -> None:
    assert list(minutes([16] * 4 + [1] * 9))[-4:] == [8, 4, 2, 1]


@pytest.mark.parametrize(("value", "workers"), [(20, 5), (4, 4)])
def test_it_adds_four_or_as_many_as_run_in_a_minute(value: int, workers: int) -> None:
    assert list(minutes([value])) == [workers]


def test_a_little_more_than_runs_changes_nothing() -> None:
    rules = replace(RULES, most=30)

    assert list(minutes([5, 10, 20, 21, 21, 23], rules))[2:] == [20, 20, 20, 23]


def test_without_a_sample_the_number_stays() -> None:
    assert list(minutes([4, None, None, 6])) == [4, 4, 4, 6]


def test_a_worker_of_several_processes_counts_as_many() -> None:
    assert list(minutes([5], replace(RULES, processes_each=2))) == [3]


def test_the_limits_hold() -> None:
    assert list(minutes([0, 50, 50, 50], replace(RULES, most=6))) == [1, 5, 6, 6]


def test_with_all_times_divided_it_does_the_same_sooner() -> None:
    faster = RULES.faster(6)

    assert faster.poll_seconds == RULES.poll_seconds / 6
    assert faster.down.window_seconds == RULES.down.window_seconds / 6
    assert faster.up.policies[0].seconds == RULES.up.policies[0].seconds / 6
