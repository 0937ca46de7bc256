"""The columns of each export are those that its page describes."""

import re
from pathlib import Path

import pytest

from ops.export.tables import EXPORTS

PAGE = (Path(__file__).parents[3] / "docs" / "leaving.md").read_text()


@pytest.mark.parametrize("name", EXPORTS)
def test_the_page_describes_every_column_in_the_order_in_which_it_is_written(name: str) -> None:
    part = PAGE.partition(f"### `export {name}`")[2].partition("\n### ")[0]

    assert tuple(re.findall(r"^\| `([^`]+)` \|", part, re.MULTILINE)) == EXPORTS[name].columns
