"""Generated tables match the code."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from billing.readers.registry import EVENT_TYPES, HANDLED_TYPES, REQUIRED_TYPES, UNHANDLED_TYPES
from ops.generated_docs import (
    PAGES,
    handled_types,
    renewed,
    required_types,
    settings_table,
    unhandled_types,
    write,
)
from runtime.settings import VARIABLES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_page_is_current(name: str) -> None:
    page = (DOCS / name).read_text()

    assert page == renewed(page), "run `make docs`"


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("configuration.md", [settings_table]),
        ("events.md", [required_types, handled_types, unhandled_types]),
    ],
)
def test_a_page_holds_its_tables(name: str, tables: list[Callable[[], str]]) -> None:
    page = (DOCS / name).read_text()

    assert all(table() in page for table in tables)


def test_every_variable_has_a_row() -> None:
    table = settings_table()

    assert all(f"| `{variable.name}` |" in table for variable in VARIABLES)


def test_every_handled_type_has_one_row_and_no_other_has() -> None:
    lines = [*handled_types().splitlines(), *unhandled_types().splitlines()]
    named = [line.split("`")[1] for line in lines if line.startswith("| `")]

    assert named == [*EVENT_TYPES, *(types.split(", ")[0] for types in UNHANDLED_TYPES)]
    assert set(EVENT_TYPES) == HANDLED_TYPES


def test_the_types_an_endpoint_must_have_are_listed_to_paste_and_all_are_handled() -> None:
    rendered = required_types()
    dashboard = rendered.split("```text\n")[1].split("\n")[0].split(",")
    api = re.findall(r'enabled_events\[\]=([\w.]+)"', rendered)

    assert dashboard == api == list(REQUIRED_TYPES)
    assert set(REQUIRED_TYPES) <= HANDLED_TYPES
    assert all(f"| `{name}` | {lost} |" in rendered for name, lost in REQUIRED_TYPES.items())


def test_no_family_has_two_headings() -> None:
    headings = [line for line in handled_types().splitlines() if line.startswith("## ")]

    assert len(headings) == len(set(headings))


def test_writing_renews_the_marked_parts_and_keeps_the_prose(tmp_path: Path) -> None:
    for name in PAGES:
        (tmp_path / name).write_text("# Prose\n<!-- generated: settings -->\nold\n<!-- end -->\n")

    write(tmp_path)

    for name in PAGES:
        page = (tmp_path / name).read_text()
        assert page.startswith("# Prose\n<!-- generated: settings -->\n| variable |")
        assert page.endswith(" |\n<!-- end -->\n")
        assert "old" not in page.splitlines()
