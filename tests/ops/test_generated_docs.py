"""Generated pages match the code."""

from pathlib import Path

import pytest

from billing.readers.registry import EVENT_TYPES, HANDLED_TYPES, UNHANDLED_TYPES
from ops.generated_docs import PAGES, configuration, events, write
from runtime.settings import VARIABLES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run `make docs`"


def test_every_variable_has_a_row() -> None:
    page = configuration()

    assert all(f"| `{variable.name}` |" in page for variable in VARIABLES)


def test_every_handled_type_has_one_row_and_no_other_has() -> None:
    rows = [line for line in events().splitlines() if line.startswith("| `")]
    named = [row.split("`")[1] for row in rows]

    assert named == [*EVENT_TYPES, *(types.split(", ")[0] for types in UNHANDLED_TYPES)]
    assert set(EVENT_TYPES) == HANDLED_TYPES


def test_no_family_has_two_headings() -> None:
    headings = [line for line in events().splitlines() if line.startswith("## ")]

    assert len(headings) == len(set(headings))


def test_writing_puts_every_page_into_the_folder(tmp_path: Path) -> None:
    write(tmp_path)

    assert {page.name for page in tmp_path.iterdir()} == set(PAGES)
