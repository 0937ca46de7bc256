"""Reads named values from Stripe's JSON, where any value may be absent or of another type.

A value of an unexpected type counts as absent. Nothing here raises.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from billing.envelope import LATEST, referenced_id
from billing.facts import Metadata
from billing.statuses import NO_CURRENCY
from billing.text import storable

Raw = Mapping[str, Any]

_NOTHING: Raw = {}
_MAX_INTEGER = 2**63 - 1
_LONGEST = 255


def object_in(raw: Raw, *path: str) -> Raw:
    """Return the object at the end of the path, or an empty one."""
    for name in path:
        inner = raw.get(name)
        if not isinstance(inner, dict):
            return _NOTHING
        raw = inner
    return raw


def objects_in(raw: Raw, name: str) -> list[Raw]:
    """Return the objects of a list: Stripe's list object, or the bare list of old versions."""
    held = raw.get(name)
    listed = held.get("data") if isinstance(held, dict) else held
    return [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []


def text_in(raw: Raw, name: str) -> str | None:
    """Return a text that is not empty and fits a key column, made storable; else None."""
    return _key_text(raw.get(name))


def enum_in(raw: Raw, name: str) -> str:
    """Return one of Stripe's enum values, known or not; ``unknown`` if there is none."""
    return text_in(raw, name) or "unknown"


def currency_in(raw: Raw) -> str:
    """Return the currency in Stripe's lower case; ``xxx`` if there is none."""
    return text_in(raw, "currency") or NO_CURRENCY


def whole_metadata_in(raw: Raw) -> Metadata:
    """Return all texts of the object's own metadata, sorted by key.

    Values that no other reader of metadata would take (empty, too long) are left out.
    """
    own = object_in(raw, "metadata")
    texts = ((storable(name), text_in(own, name)) for name in own if len(name) <= _LONGEST)
    return tuple(sorted((name, text) for name, text in texts if text is not None))


def is_whole_list(raw: Raw, name: str) -> bool:
    """Return True if the list is there and Stripe did not cut it off."""
    held = raw.get(name)
    if not isinstance(held, dict):
        return isinstance(held, list)
    total = integer_in(held, "total_count")
    return not flag_in(held, "has_more") and (total or 0) <= len(objects_in(raw, name))


def signed_in(raw: Raw, name: str) -> int | None:
    """Return an integer of 64 bits that may be negative, as amounts of invoice lines are."""
    value = raw.get(name)
    return value if type(value) is int and abs(value) <= _MAX_INTEGER else None


def integer_in(raw: Raw, name: str) -> int | None:
    """Return an integer from zero to the largest of 64 bits; ``true`` and ``1.0`` do not count."""
    value = raw.get(name)
    return value if type(value) is int and 0 <= value <= _MAX_INTEGER else None


def amount_in(raw: Raw, name: str) -> int:
    """Return an amount in minor units; 0 if there is none."""
    return integer_in(raw, name) or 0


def flag_in(raw: Raw, name: str) -> bool:
    """Return True if the value is ``true`` itself."""
    return raw.get(name) is True


def time_in(raw: Raw, name: str) -> datetime | None:
    """Return a time that Stripe gives in seconds."""
    value = raw.get(name)
    if type(value) is int and 0 <= value <= LATEST:
        return datetime.fromtimestamp(value, UTC)
    return None


def reference_in(raw: Raw, name: str) -> str | None:
    """Return the id of another object, given as an id or expanded."""
    value = raw.get(name)
    return None if value is None else referenced_id(value)


def customer_in(raw: Raw) -> str | None:
    """Return the customer, which may be named by its account only."""
    return reference_in(raw, "customer") or reference_in(raw, "customer_account")


def price_names_of(line: Raw) -> tuple[str | None, str | None, str | None]:
    """Return price id, lookup key and product id of a line or subscription item."""
    details = object_in(line, "pricing", "price_details")
    price = details.get("price") or line.get("price") or line.get("plan")
    priced = price if isinstance(price, dict) else _NOTHING
    product = details.get("product") or priced.get("product")
    return _name(price), text_in(priced, "lookup_key"), _name(product)


def with_known(raw: Raw, **known: Any) -> Raw:
    """Return an embedded object, completed with values that its surroundings know."""
    return {**raw, **{name: value for name, value in known.items() if raw.get(name) is None}}


def before_change(current: Raw, previous: Raw) -> Raw:
    """Return the object as it was before the event: objects are merged, other values replaced.

    ``null`` is restored too. In metadata it means that the key was absent, and every reader treats
    ``null`` as absent.
    """
    merged = dict(current)
    for name, value in previous.items():
        mine = merged.get(name)
        if isinstance(value, dict) and isinstance(mine, dict):
            merged[name] = before_change(mine, value)
        else:
            merged[name] = value
    return merged


def _name(value: Any) -> str | None:
    return _key_text(value.get("id") if isinstance(value, dict) else value)


def _key_text(value: Any) -> str | None:
    return storable(value) if isinstance(value, str) and 0 < len(value) <= _LONGEST else None
