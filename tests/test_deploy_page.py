"""Hold the tables of docs/deploy.md to their promise: each line says what was tested, if any."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "deploy.md").read_text()
VERSION = re.compile(r"\b\d+\.\d+")
TESTED = {
    "between Paidup and PostgreSQL": "tested with",
    "part": "tested with",
    "Redis offer": "tried",
    "PostgreSQL offer": "tried",
}
"""The first column of each table of what is supported, and the column that says what was tested."""


def lines_of(first: str) -> list[dict[str, str]]:
    """Return the lines of the table whose first column has this name."""
    [table] = re.findall(rf"^\| {first} \|.*\n(?:\|.*\n)+", PAGE, flags=re.MULTILINE)
    head, _, *lines = table.splitlines()
    names = [name.strip() for name in head.strip("|").split("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert all(len(each) == len(names) for each in cells)
    return [dict(zip(names, each, strict=True)) for each in cells]


@pytest.mark.parametrize("first", TESTED)
def test_each_line_names_a_version_that_was_tested_or_says_that_none_was(first: str) -> None:
    vague = [
        line[first]
        for line in lines_of(first)
        if bool(VERSION.search(line[TESTED[first]])) == line[TESTED[first]].startswith("not tried")
    ]

    assert vague == []


@pytest.mark.parametrize("first", ["Redis offer", "PostgreSQL offer"])
def test_no_managed_offer_is_said_to_have_been_tried(first: str) -> None:
    assert {line["tried"] for line in lines_of(first)} == {"not tried"}
