"""The picture shows lines that were printed, in their order, and says where some are missing."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.picture import COLUMNS, LINES, NotDrawn, draw, printed, run_demo, shown

ROOT = Path("/home/somebody/paidup")
BOLD, RESET = "\x1b[1m", "\x1b[0m"
OUTPUT = [
    "This demo sends events.",
    "paidup: servers run",
    f"{BOLD}1. A checkout{RESET}",
    "a row",
    "paidup: waiting",
    "2. A subscription",
    "another row",
    "4. Requests that must be rejected, or not applied twice",
    "a refusal",
    "Metrics",
    "All checks passed.",
]


def plain(lines: list[str]) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]


def program(folder: Path, script: str) -> Path:
    path = folder / "paidup"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def texts(svg: str) -> str:
    return "".join(ET.fromstring(svg).itertext()).replace("\xa0", " ")  # noqa: S314 - our own


def test_the_demo_runs_in_a_terminal_of_the_fixed_size(tmp_path: Path) -> None:
    script = 'test -t 1 && test -t 2 && stty size && echo "$1 $TERM" && echo aside >&2'

    said = run_demo(program(tmp_path, script))

    assert said.replace("\r", "") == f"{LINES} {COLUMNS}\ndemo xterm-256color\naside\n"


def test_a_setting_of_the_caller_for_the_width_is_not_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("NO_COLOR", "1")

    said = run_demo(program(tmp_path, 'echo "[$COLUMNS$NO_COLOR]"'))

    assert said.strip() == "[]"


def test_a_demo_that_fails_is_not_drawn_and_what_it_said_is_repeated(tmp_path: Path) -> None:
    with pytest.raises(NotDrawn, match=r"ended with 3(?s:.*)no room"):
        run_demo(program(tmp_path, "echo no room; exit 3"))


def test_lines_are_those_that_a_terminal_shows() -> None:
    assert printed("one\r\n10 %\r100 %\r\n\r\nend\r\n\r\n", root=ROOT) == [
        "one",
        "100 %",
        "",
        "end",
    ]


def test_paths_of_the_machine_are_shortened_and_nothing_else() -> None:
    said = f"{ROOT}/ops/demo.toml and /var/tmp/paidup-demo-a1/logs, pi_1/premium"

    assert printed(said, root=ROOT) == ["ops/demo.toml and /tmp/paidup-demo-a1/logs, pi_1/premium"]


def test_colours_are_kept() -> None:
    assert printed(f"{BOLD}bold{RESET}\r\n", root=ROOT) == [f"{BOLD}bold{RESET}"]


def test_output_that_moves_the_cursor_is_refused() -> None:
    with pytest.raises(NotDrawn, match="moves the cursor"):
        printed("a bar\x1b[2K\x1b[1A", root=ROOT)


def test_the_chosen_parts_and_the_last_line_are_shown_with_dots_for_each_cut() -> None:
    parts = [("", "paidup:"), ("1. ", "2. "), ("4. Requests", "Metrics")]

    assert plain(shown(OUTPUT, parts)) == [
        "This demo sends events.",
        "...",
        *plain(OUTPUT[2:5]),
        "...",
        *OUTPUT[7:9],
        "...",
        "All checks passed.",
    ]


def test_a_cut_at_the_beginning_is_marked_too() -> None:
    assert plain(shown(OUTPUT[1:], [("", "paidup:"), ("1. ", "2. ")]))[0] == "..."


def test_an_output_of_which_nothing_is_left_out_has_no_dots() -> None:
    assert shown(OUTPUT, [("", "All checks")]) == OUTPUT


@pytest.mark.parametrize("part", [("Prices", "Metrics"), ("1. ", "Prices")])
def test_a_part_that_is_gone_is_named(part: tuple[str, str]) -> None:
    with pytest.raises(NotDrawn, match=r"no line 'Prices\.\.\.'"):
        shown(OUTPUT, [part])


def test_the_drawing_has_every_line_and_loads_nothing_from_elsewhere() -> None:
    svg = draw([f"{BOLD}bold{RESET} and <plain> & the rest", "the last line"])

    assert "bold and <plain> & the rest" in texts(svg)
    assert "the last line" in texts(svg)
    assert "font-weight: bold" in svg
    assert "@font-face" not in svg
    assert set(re.findall(r"\w+://[^\"' )]+", svg)) == {"http://www.w3.org/2000/svg"}


def test_the_drawing_of_the_same_lines_is_the_same() -> None:
    assert draw(OUTPUT) == draw(OUTPUT)


def test_a_line_that_is_too_wide_is_refused_and_not_cut() -> None:
    draw(["x" * COLUMNS])

    with pytest.raises(NotDrawn, match=f"wider than {COLUMNS} columns"):
        draw(["x" * (COLUMNS + 1)])
