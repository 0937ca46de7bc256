"""Live events beside a preview: rounds take turns, and ratios are those of rounds."""

import pytest
from rich.console import Console

from bench.beside_preview import WORKER, LiveCost, LiveRound, LiveScale, by_turns, is_good, shown
from bench.costs import ProcessEnded


def cost(worker: float, *, lag: float = 5.0, batch: float = 2.0) -> LiveCost:
    return LiveCost(processes={WORKER: worker, "Redis": 100.0}, lag=lag, batch=batch)


def live_round(alone: float, beside: float, *, previewed: float = 20.0) -> LiveRound:
    there = cost(beside, lag=10.0, batch=3.0)
    return LiveRound(alone=cost(alone), beside=there, previewed=previewed)


def test_rounds_begin_by_turns_with_each_and_one_before_them_warms_up() -> None:
    sent: list[str] = []

    def alone(name: str) -> LiveCost:
        sent.append(name)
        return cost(len(sent))

    rounds = by_turns(2, alone, lambda name: (alone(name), len(sent)))

    assert sent == [
        *("live 0 beside", "live 0"),
        *("live 1", "live 1 beside"),
        *("live 2 beside", "live 2"),
    ]
    assert rounds == [
        LiveRound(alone=cost(3), beside=cost(4), previewed=4),
        LiveRound(alone=cost(6), beside=cost(5), previewed=5),
    ]


def test_a_measurement_whose_process_was_replaced_is_made_once_more_with_other_events() -> None:
    sent: list[str] = []

    def alone(name: str) -> LiveCost:
        sent.append(name)
        if name in ("live 1", "live 2 beside"):
            raise ProcessEnded(17)
        return cost(len(sent))

    rounds = by_turns(2, alone, lambda name: (alone(name), len(sent)))

    assert sent[2:5] == ["live 1", "live 1 again", "live 1 beside"]
    assert sent[5:] == ["live 2 beside", "live 2 beside again", "live 2"]
    assert [each.alone for each in rounds] == [cost(4), cost(8)]


def test_a_measurement_whose_process_is_replaced_again_fails() -> None:
    def never(_: str) -> LiveCost:
        raise ProcessEnded(17)

    with pytest.raises(ProcessEnded):
        by_turns(1, never, lambda name: (never(name), 1.0))


@pytest.mark.parametrize(
    ("ratios", "good"), [([1.1], True), ([1.11], False), ([2.0, 1.0, 1.1], True)]
)
def test_the_median_round_meets_the_goal_or_misses_it(ratios: list[float], *, good: bool) -> None:
    assert is_good([live_round(100.0, 100.0 * ratio) for ratio in ratios]) is good


def test_the_table_has_medians_of_the_figures_and_of_the_ratios_of_rounds() -> None:
    rounds = [live_round(100, 110), live_round(200, 240), live_round(400, 400, previewed=40.0)]
    console = Console(record=True, width=120)

    console.print(shown(LiveScale(rate=200, seconds=20, rounds=3), rounds))

    lines = [line.replace("│", " ").split() for line in console.export_text().splitlines()]
    assert ["worker,", "us", "200", "240", "1.10", "1.00", "1.20"] in lines
    assert ["together,", "us", "300", "340", "1.05", "1.00", "1.13"] in lines
    assert ["median", "lag,", "ms", "5", "10", "2.00", "2.00", "2.00"] in lines
    assert ["events", "in", "a", "transaction", "2", "3", "1.50", "1.50", "1.50"] in lines
    assert ["previewed", "in", "a", "second", "20"] in lines
