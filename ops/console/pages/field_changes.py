"""Tell rows before and after a change apart, field by field, for pages. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ops.terminal.formats import format_features, format_stored_time
from ops.terminal.money import format_money

_INTERNAL: Final = frozenset(
    {"archive", "as_of", "catalogue_version", "event_id", "guessed", "party", "realm", "because"}
    | {"currency"}
)
"""Fields that say how a row came to be, and not what it gives or is worth; amounts name theirs."""

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_GRANT: Final = frozenset({"active", "entitlements", "expires_at"})
_UNSET: Final[tuple[object, ...]] = (None, "", [], {})
_MINOR: Final = "_minor"
_SHOWN: Final = 12
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """A field before and after; None where it was not or is no longer."""

    name: str
    before: str | None
    after: str | None


def field_changes(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, *known: str | None
) -> tuple[FieldChange, ...]:
    """Return the fields that differ, in the order of the row; of a new or removed row, all set.

    A new field is left out if its value is one of the ``known``, which is said beside it, or if it
    is no or nothing.
    """
    old, new = _as_given(before or {}), _as_given(after or {})
    names = dict.fromkeys([*new, *old])
    found = [
        FieldChange(name=_name(name), before=_text(old, name), after=_text(new, name))
        for name in names
        if name not in _INTERNAL and old.get(name) != new.get(name)
        if not _says_nothing(old.get(name), new.get(name), known)
    ]
    return tuple(each for each in found if each.before != each.after)[:_SHOWN]


def _says_nothing(old: object, new: object, known: Sequence[str | None]) -> bool:
    return old is None and (new in known or new is False or new == 0)


def _as_given(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the row of a grant by what it gives, which is nothing unless it is active."""
    if "entitlements" not in row:
        return row
    rest = {name: value for name, value in row.items() if name not in _GRANT}
    if not row.get("active"):
        return rest
    return {"gives": row["entitlements"], "until": row.get("expires_at") or "no end"} | rest


def _name(name: str) -> str:
    return name.removesuffix(_MINOR).replace("_", " ")


def _text(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    if name.endswith(_MINOR) and isinstance(value, int) and row.get("currency"):
        return format_money(value, row["currency"])
    return _plain(value)


def _plain(stored: object) -> str | None:
    match stored:
        case value if value in _UNSET:
            return None
        case bool() as yes:
            return "yes" if yes else "no"
        case str() as text if _TIME.match(text):
            return format_stored_time(text)
        case value:
            return _short(_words(value))


def _words(value: Any) -> str:
    match value:
        case dict() as features:
            return format_features(features)
        case list() as several:
            return ", ".join(map(str, several))
        case other:
            return str(other)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
