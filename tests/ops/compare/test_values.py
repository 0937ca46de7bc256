from decimal import Decimal
from typing import Any

import pytest

from ops.compare.values import CurrentValue, Weight, is_nothing, weigh


@pytest.mark.parametrize("value", [None, False, 0, Decimal(0), "", "f", "FALSE", "no", "0", "0.0"])
def test_a_value_of_nothing_is_no_feature(value: CurrentValue) -> None:
    assert is_nothing(value)


@pytest.mark.parametrize("value", [True, 1, Decimal("0.5"), "t", "yes", "1", "pro", "nan"])
def test_any_other_value_is_a_feature(value: CurrentValue) -> None:
    assert not is_nothing(value)


@pytest.mark.parametrize("theirs", [True, 1, Decimal(1), "true", "T", "Yes", "y", "on", "1"])
def test_a_yes_is_the_same_however_it_is_written(theirs: CurrentValue) -> None:
    assert weigh(True, theirs) is Weight.EQUAL  # noqa: FBT003 - the value of a feature


@pytest.mark.parametrize(
    ("ours", "theirs", "weight"),
    [
        (5, 5, Weight.EQUAL),
        (5, " 5 ".strip(), Weight.EQUAL),
        (5, "5.0", Weight.EQUAL),
        (5, Decimal("5.00"), Weight.EQUAL),
        (5, "4", Weight.MORE),
        (5, 6, Weight.LESS),
        (2**53 - 1, str(2**53 - 2), Weight.MORE),
        (1, True, Weight.UNLIKE),
        (5, "many", Weight.UNLIKE),
        (5, "nan", Weight.UNLIKE),
        (5, "Infinity", Weight.UNLIKE),
        (5, "9" * 100, Weight.UNLIKE),
        (True, 5, Weight.UNLIKE),
        (True, "pro", Weight.UNLIKE),
        ("pro", "pro", Weight.EQUAL),
        ("pro", "basic", Weight.UNLIKE),
    ],
)
def test_the_type_of_our_value_decides_how_theirs_is_read(
    ours: Any, theirs: CurrentValue, weight: Weight
) -> None:
    assert weigh(ours, theirs) is weight
