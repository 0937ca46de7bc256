"""Pages made from the code say what the code does today."""

from pathlib import Path

import pytest

from ops.pages import PAGES, configuration, write
from runtime.settings import VARIABLES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run `make docs`"


def test_every_variable_has_a_row() -> None:
    page = configuration()

    assert all(f"| `{variable.name}` |" in page for variable in VARIABLES)


def test_writing_puts_every_page_into_the_folder(tmp_path: Path) -> None:
    write(tmp_path)

    assert {page.name for page in tmp_path.iterdir()} == set(PAGES)
