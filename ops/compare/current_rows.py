"""Turn the records of an application's list into rows. Pure.

- long: user_id, feature, value. A record for each user and feature; other columns are skipped.
- wide: user_id and the features. A record for each user; an empty cell is no feature.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from billing.text import storable
from ops.compare.sorted_rows import CurrentAccess
from ops.compare.values import CurrentValue

USER: Final = "user_id"
FEATURE: Final = "feature"
VALUE: Final = "value"
LONG: Final = (USER, FEATURE, VALUE)


class WrongRecord(ValueError):
    """A record or a line of names says nothing that can be compared; the message says why."""


def check_columns(columns: Collection[str], *, wide: bool) -> None:
    """Raise ``WrongRecord`` if the columns are not those of the form, or one is there twice."""
    needed = (USER,) if wide else LONG
    if missing := [name for name in needed if name not in columns]:
        form = f"{USER} and a column for each feature" if wide else ", ".join(LONG)
        other = "" if wide else "; --wide reads a column for each feature"
        raise WrongRecord(f"has no column {missing[0]!r}: name {form}{other}")
    counted = Counter([*columns]).items()
    if twice := [name for name, number in counted if number > 1 and (wide or name in LONG)]:
        raise WrongRecord(f"has the column {twice[0]!r} twice: name each column once")
    if wide and len(columns) == 1:
        raise WrongRecord(f"has no column but {USER}: name one for each feature")


def read_record(place: int, record: Mapping[str, Any], *, wide: bool) -> Iterator[CurrentAccess]:
    """Yield the rows that a record stands for.

    Raises:
        WrongRecord: it names no user or feature, or has a value that no feature has.
    """
    user = _name(record, USER)
    if not wide:
        feature = _name(record, FEATURE)
        yield _row(place, user, feature, record.get(VALUE))
        return
    for name, value in record.items():
        if name != USER and value is not None and value != "":
            yield _row(place, user, storable(name.strip()), value)


def _row(place: int, user: str, feature: str, value: Any) -> CurrentAccess:
    return CurrentAccess(place=place, user_id=user, feature=feature, value=_value(feature, value))


def _name(record: Mapping[str, Any], column: str) -> str:
    named = record.get(column)
    # Many applications number their users.
    if isinstance(named, int) and not isinstance(named, bool):
        return str(named)
    if named is not None and not isinstance(named, str):
        named = str(named)
    text = storable(named or "").strip()
    if not text:
        raise WrongRecord(f"{column} is empty")
    return text


def _value(feature: str, value: Any) -> CurrentValue:
    match value:
        case str():
            return storable(value.strip())
        case None | bool() | int() | Decimal():
            return value
        case float():
            return Decimal(str(value))
        case _:
            kind = type(value).__name__
            raise WrongRecord(f"the value of {feature} is a {kind}: give a boolean or a number")
