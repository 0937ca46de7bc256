import pytest

from runtime.sizing.need import (
    ASSUMED_RATE,
    TARGET_SECONDS,
    estimate_need,
    measuring_window,
    rate_of_each,
)


@pytest.mark.parametrize(
    ("backlog", "arriving", "rate", "processes"),
    [
        (0, 0, None, 1),
        (1, 0, 100, 1),
        (6000, 0, 100, 1),
        (6001, 0, 100, 2),
        (60_000, 0, 100, 10),
        (0, 150, 100, 2),
        (6000, 150, 100, 3),
        (1000, 0, 0.5, 34),
    ],
)
def test_as_many_processes_as_drain_it_in_a_minute(
    backlog: int, arriving: float, rate: float | None, processes: int
) -> None:
    assert estimate_need(backlog=backlog, arriving=arriving, rate=rate).processes == processes


def test_a_rate_that_was_not_measured_is_assumed_and_marked() -> None:
    assumed = estimate_need(backlog=round(3 * ASSUMED_RATE * TARGET_SECONDS), arriving=0, rate=None)

    assert (assumed.processes, assumed.rate, assumed.measured) == (3, ASSUMED_RATE, False)
    assert estimate_need(backlog=1, arriving=0, rate=80).measured


def test_a_rate_is_measured_only_while_every_process_is_busy() -> None:
    assert measuring_window(0.5) is None
    assert measuring_window(10) == 10
    assert measuring_window(86_400) == TARGET_SECONDS

    assert rate_of_each(settled=3000, seconds=10, processes=2) == 150
    assert rate_of_each(settled=3000, seconds=None, processes=2) is None
    assert rate_of_each(settled=3000, seconds=10, processes=0) is None
    assert rate_of_each(settled=0, seconds=10, processes=2) is None
