import pytest

from ops.csv_guard import with_guard, without_guard


@pytest.mark.parametrize(
    "text", ["=1+1", "+4930", "-5", "@ada", "\tx", "'", "'=x", "ada", "", "a=b"]
)
def test_every_text_comes_back_from_its_cell(text: str) -> None:
    assert without_guard(with_guard(text)) == text


@pytest.mark.parametrize("text", ["=1+1", "+4930", "-5", "@ada", "\tx", "\rx", "\nx"])
def test_no_cell_begins_as_a_formula(text: str) -> None:
    assert with_guard(text) == f"'{text}"
