"""Several grants of one user as one set of features, by the rule of ``effective_entitlements``.

For plans that are not on record: what is on record, the view merges.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from billing.rows import EntitlementRow


def merged(grants: Iterable[EntitlementRow], now: datetime) -> dict[str, Any]:
    """What the user may use at a moment: "or", maximum, and the sum of seats."""
    sums = Counter[str]()
    found: dict[str, list[Any]] = {}
    for grant in grants:
        if not in_force(grant, now):
            continue
        for name, value in grant.entitlements.items():
            if name in grant.per_seat and not isinstance(value, bool):
                sums[name] += value
            else:
                found.setdefault(name, []).append(value)
    return _best(found, sums)


def in_force(row: EntitlementRow, now: datetime) -> bool:
    """Whether the row grants at this moment."""
    return row.active and row.starts_at <= now and (row.expires_at is None or row.expires_at > now)


def _best(found: dict[str, list[Any]], sums: Mapping[str, int]) -> dict[str, Any]:
    for name, value in sums.items():
        found.setdefault(name, []).append(value)
    # PostgreSQL puts true and false above every number.
    return {
        name: max(values, key=lambda each: (isinstance(each, bool), each))
        for name, values in sorted(found.items())
    }
