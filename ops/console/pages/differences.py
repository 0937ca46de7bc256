"""Tell rows before and after a change apart, field by field, for pages. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ops.terminal.formats import format_features, format_stored_time

_INTERNAL: Final = frozenset(
    {"archive", "catalogue_version", "event_id", "guessed", "party", "realm", "because"}
)
"""Fields that say how a row came to be, and not what it gives or is worth."""

_SHOWN: Final = 12
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A field before and after; None where it was not or is no longer."""

    name: str
    before: str | None
    after: str | None


def differences(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[Difference, ...]:
    """Return the fields that differ, in the order of the row; of a new or removed row, all set."""
    old, new = before or {}, after or {}
    names = dict.fromkeys([*new, *old])
    found = [
        Difference(name=name.replace("_", " "), before=_text(old, name), after=_text(new, name))
        for name in names
        if name not in _INTERNAL and old.get(name) != new.get(name)
    ]
    return tuple(each for each in found if each.before != each.after)[:_SHOWN]


def _text(row: Mapping[str, Any], name: str) -> str | None:
    match row.get(name):
        case None | "" | [] | {}:
            return None
        case bool() as yes:
            return "yes" if yes else "no"
        case str() as text if name.endswith("_at"):
            return format_stored_time(text)
        case dict() as features:
            return _short(format_features(features))
        case list() as several:
            return _short(", ".join(map(str, several)))
        case value:
            return _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
