"""The figures of a burst: what was late, what was refused, and what it waited for."""

from collections import Counter

import pytest

from bench.burst import Burst, machine_pause
from bench.load import LoadAnswers


def burst(latencies: list[float], statuses: dict[int, int]) -> Burst:
    answers = LoadAnswers(seconds=2.0, latencies=latencies, statuses=Counter(statuses))
    return Burst(answers=answers, redis_pauses={"command": 7, "fork": 12}, machine_pause=3.4)


def test_a_row_has_the_longest_answer_the_late_ones_the_refused_ones_and_the_pauses() -> None:
    row = burst([0.001] * 97 + [0.1, 0.25, 0.0999], {202: 96, 503: 4}).row()

    assert row[0] == "50"
    assert row[3:] == ["250.0", "2", "4", "command 7, fork 12", "3"]


@pytest.mark.parametrize(
    ("longest", "statuses", "is_good"),
    [
        (0.0999, {202: 2}, True),
        (0.0999, {202: 1, 200: 1}, True),
        (0.1, {202: 2}, False),
        (0.01, {202: 1, 503: 1}, False),
        (0.01, {202: 1, 400: 1}, False),
    ],
)
def test_a_burst_is_good_without_a_late_answer_and_without_a_refused_event(
    longest: float, statuses: dict[int, int], *, is_good: bool
) -> None:
    assert burst([0.001, longest], statuses).is_good is is_good


def test_the_longest_pause_of_the_machine_is_measured_beside() -> None:
    with machine_pause() as pause:
        assert pause == []

    (milliseconds,) = pause
    assert milliseconds >= 0
