"""Compare the value of a feature with what an application has for it, as text or typed. Pure.

An application's list says the same in many ways: a boolean, a text such as `t`, `1` or `yes`, a
number as text. The type on Paidup's side decides how a text is read. A value of nothing, such as
`false`, `0` or an empty cell, means that the user does not have the feature.
"""

from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final

CurrentValue = bool | int | Decimal | str | None
"""The value that an application has: what CSV holds is text."""

_YES: Final = frozenset({"true", "t", "yes", "y", "on", "1"})
_NOTHING: Final = frozenset({"", "false", "f", "no", "n", "off", "0", "none", "null"})
_LONGEST_NUMBER: Final = 40


class Weight(StrEnum):
    """Our value of a feature against theirs."""

    EQUAL = "equal"
    MORE = "more"
    LESS = "less"
    UNLIKE = "unlike"
    """They are of different kinds, so neither is more."""


def is_nothing(value: Any) -> bool:
    """Return True if a value, ours or theirs, means that the user does not have the feature."""
    if isinstance(value, str):
        return value.strip().lower() in _NOTHING or _number(value) == 0
    return value is None or value == 0


def weigh(ours: Any, theirs: CurrentValue) -> Weight:
    """Return how our value compares with theirs; neither may be nothing."""
    if isinstance(ours, bool):
        return Weight.EQUAL if _is_yes(theirs) else Weight.UNLIKE
    if isinstance(ours, int | float):
        number = _number(theirs)
        if number is None:
            return Weight.UNLIKE
        if number == ours:
            return Weight.EQUAL
        return Weight.MORE if ours > number else Weight.LESS
    return Weight.EQUAL if ours == theirs else Weight.UNLIKE


def _is_yes(theirs: CurrentValue) -> bool:
    return theirs == 1 if not isinstance(theirs, str) else theirs.strip().lower() in _YES


def _number(theirs: CurrentValue) -> Decimal | None:
    if theirs is None or isinstance(theirs, bool):
        return None
    if isinstance(theirs, str) and len(theirs) > _LONGEST_NUMBER:
        return None
    try:
        number = Decimal(theirs)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
