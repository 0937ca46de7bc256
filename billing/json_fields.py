"""Taking named values out of Stripe's JSON, where anything may be absent or of another type.

A value that is not what it ought to be counts as absent: nothing here raises.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from billing.envelope import LATEST, referenced_id
from billing.statuses import NO_CURRENCY
from billing.text import storable

Raw = Mapping[str, Any]

_NOTHING: Raw = {}
_MOST = 2**63 - 1
_LONGEST = 255


def table(raw: Raw, *path: str) -> Raw:
    """The object at the end of the path, or an empty one."""
    for name in path:
        inner = raw.get(name)
        if not isinstance(inner, dict):
            return _NOTHING
        raw = inner
    return raw


def rows(raw: Raw, name: str) -> list[Raw]:
    """The objects of a list, whether Stripe's list object or the bare list of older versions."""
    held = raw.get(name)
    listed = held.get("data") if isinstance(held, dict) else held
    return [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []


def text(raw: Raw, name: str) -> str | None:
    """A text that says something, made storable; one too long for a key column says nothing."""
    value = raw.get(name)
    return _told(value) if value else None


def word(raw: Raw, name: str) -> str:
    """One of Stripe's enum values, known or not; ``unknown`` where there is none."""
    return text(raw, name) or "unknown"


def currency(raw: Raw) -> str:
    """The currency in Stripe's small letters, or the word for none."""
    return text(raw, "currency") or NO_CURRENCY


def metadata(raw: Raw, name: str) -> str | None:
    """A value of the object's own metadata."""
    return text(table(raw, "metadata"), name)


def whole(raw: Raw, name: str) -> int | None:
    """A whole number from zero to what 64 bits hold; ``true`` and ``1.0`` are none."""
    value = raw.get(name)
    return value if type(value) is int and 0 <= value <= _MOST else None


def amount(raw: Raw, name: str) -> int:
    """An amount in minor units: no amount is an amount of nothing."""
    return whole(raw, name) or 0


def flag(raw: Raw, name: str) -> bool:
    """Whether the value is ``true`` and nothing like it."""
    return raw.get(name) is True


def instant(raw: Raw, name: str) -> datetime | None:
    """A time that Stripe gives in seconds."""
    value = raw.get(name)
    if type(value) is int and 0 <= value <= LATEST:
        return datetime.fromtimestamp(value, UTC)
    return None


def reference(raw: Raw, name: str) -> str | None:
    """The id of another object, given as such or expanded."""
    value = raw.get(name)
    return None if value is None else referenced_id(value)


def customer(raw: Raw) -> str | None:
    """The customer, which may be known by its account only."""
    return reference(raw, "customer") or reference(raw, "customer_account")


def sold_as(line: Raw) -> tuple[str | None, str | None, str | None]:
    """Price id, lookup key and product id of what a line or an item sells."""
    details = table(line, "pricing", "price_details")
    price = details.get("price") or line.get("price") or line.get("plan")
    priced = price if isinstance(price, dict) else _NOTHING
    product = details.get("product") or priced.get("product")
    return _name(price), text(priced, "lookup_key"), _name(product)


def names_sold(lines: Iterable[Raw]) -> tuple[str, ...]:
    """Every name of everything the lines sell, of each line the most trusted first.

    What several lines sell alike is named once; a name that different things share is not left
    out, so that the names of each thing stay together.
    """
    things = dict.fromkeys(sold_as(line) for line in lines)
    return tuple(name for thing in things for name in thing if name)


def completed(raw: Raw, **known: Any) -> Raw:
    """An embedded object with what its surroundings know and it does not say itself."""
    return {**raw, **{name: value for name, value in known.items() if raw.get(name) is None}}


def undone(current: Raw, previous: Raw) -> Raw:
    """The object as it was before the event: objects are merged, all else is put back.

    ``null`` is put back too; within metadata it says that the key was not there, and every
    reader takes ``null`` for that.
    """
    merged = dict(current)
    for name, value in previous.items():
        mine = merged.get(name)
        if isinstance(value, dict) and isinstance(mine, dict):
            merged[name] = undone(mine, value)
        else:
            merged[name] = value
    return merged


def _name(value: Any) -> str | None:
    return _told(value.get("id") if isinstance(value, dict) else value)


def _told(value: Any) -> str | None:
    return storable(value) if isinstance(value, str) and 0 < len(value) <= _LONGEST else None
