"""Tables, page and picture of growth say what was measured, and what was not."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.growth import page
from bench.growth.moves import MoveCosts
from bench.growth.parties import PAYMENTS, UPDATES
from bench.growth.reading import AmountRead
from bench.growth.report import growth_results, markdown, moves_markdown, picture, table
from bench.growth.run import GrowthCell, GrowthScale
from bench.growth.system import LoneCost
from bench.results_file import keep_results, read_results

SCALE = GrowthScale(sizes=(0, 1000), rounds=3, at_once=400, seconds=30)
NEW = [LoneCost(4.0, 1.0), LoneCost(8.0, 2.0), LoneCost(6.0, 1.5)]
OLD = [LoneCost(9.0, 1.0), LoneCost(8.0, 2.0), LoneCost(24.0, 6.0)]
BURST = "update, one of 400 in one second"


def measured() -> dict[str, Any]:
    cells = [
        GrowthCell(event=PAYMENTS.name, size=0, costs=NEW, read=AmountRead(12, 1.5)),
        GrowthCell(event=PAYMENTS.name, size=1000, costs=OLD, read=AmountRead(6000, 3800)),
        GrowthCell(event=UPDATES.name, size=0, costs=NEW, read=AmountRead(20, 9.9)),
        GrowthCell(
            event=UPDATES.name, size=1000, costs=OLD[:1], read=AmountRead(1, 2), too_slow=True
        ),
        GrowthCell(event=BURST, size=0, costs=NEW),
    ]
    moves = [
        MoveCosts(size=100, at_once=OLD, first=NEW, steps=[[], [], []]),
        MoveCosts(size=1000, at_once=OLD, first=NEW, steps=[NEW, OLD[:2], NEW[:2]]),
    ]
    return growth_results(cells, moves, SCALE, {"python": "3.11"})


def test_a_ratio_is_the_median_of_the_ratios_of_the_rounds() -> None:
    _, old, *_ = measured()["cells"]

    assert (old["worker_ms"], old["postgresql_ms"]) == (9.0, 2.0)
    assert old["to_new"] == 2.0
    assert old["all"] == [[9.0, 1.0], [8.0, 2.0], [24.0, 6.0]]


def test_what_took_too_long_in_any_round_has_no_time_and_what_it_reads_is_shown() -> None:
    slow = measured()["cells"][3]

    assert (slow["worker_ms"], slow["to_new"], slow["all"]) == (None, None, [])
    assert slow["rows"] == 1
    assert "| 1,000 observations | not measured (over 30 s) |  |  | 1.00 | 2.00 |" in markdown(
        measured()
    )


def test_a_move_stands_beside_the_same_in_one_transaction_with_its_longest_step() -> None:
    assert moves_markdown(measured()).splitlines()[2:] == [
        "| 100 payments | 10.0 | 7.50 | 0 | 0.00 | 0.00 |",
        "| 1,000 payments | 10.0 | 7.50 | 2 | 10.0 | 20.0 |",
    ]


def test_many_updates_at_once_are_beside_no_new_one() -> None:
    assert markdown(measured()).splitlines()[-1] == f"| {BURST} | new | 6.00 | 1.50 |  |  |  |"


def test_the_table_names_each_kind_of_event_once() -> None:
    lines = markdown(measured()).splitlines()

    assert lines[2].startswith(f"| {PAYMENTS.name} | new | 6.00 | 1.50 | 1.00 | 12.0 | 1.50 |")
    assert lines[3].startswith("|  | 1,000 payments | 9.00 | 2.00 | 2.00 | 6,000 | 3,800 |")
    console = Console(width=140)
    with console.capture() as printed:
        console.print(table(measured()))
    assert printed.get().count(PAYMENTS.name) == 1
    assert "not measured (over 30 s)" in printed.get()


def test_the_picture_has_a_line_for_each_kind_that_has_a_ratio() -> None:
    drawn = picture(measured())

    assert drawn.startswith("<svg")
    assert drawn.count("<polyline") == 2
    assert drawn.count("<circle") == 3
    assert BURST not in drawn
    assert ">1,000</text>" in drawn


def test_a_higher_ratio_is_drawn_higher_and_one_beyond_the_edge_at_the_edge() -> None:
    results = measured()
    heights = []
    for ratio in (1.0, 50.0, 1e3, 1e6):
        results["cells"][1]["to_new"] = ratio
        heights.append(picture(results).split("<circle")[2].split('cy="')[1].split('"')[0])

    assert [float(each) for each in heights] == sorted(map(float, heights), reverse=True)
    assert float(heights[2]) == float(heights[3])


def test_the_page_has_the_table_of_the_results() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    results = read_results()["growth"]

    assert markdown(results) in text
    assert text == page.renewed_page(text, results), "run `python -m bench.growth`"
    assert page.PICTURE.read_text(encoding="utf-8") == picture(results)


def test_a_command_keeps_the_results_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.json"
    path.write_text('{"figures": [1], "growth": 2}')
    monkeypatch.setattr("bench.results_file.PATH", path)

    keep_results({"growth": 3})

    assert json.loads(path.read_text()) == {"figures": [1], "growth": 3}
