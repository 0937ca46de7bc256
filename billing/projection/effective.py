"""Several grants of one user as one set of features, by the rule of ``effective_entitlements``.

For what the view cannot see: plans that are not on record, and moments that are over.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from billing.rows import EntitlementRow, Key

_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """What a feature is worth, and until when it is worth that."""

    value: Any
    expires_at: datetime | None


def merged(grants: Iterable[EntitlementRow], now: datetime) -> dict[str, Any]:
    """What the user may use at a moment: "or", maximum, and the sum of seats."""
    return {name: each.value for name, each in effective(grants, now).items()}


def effective(grants: Iterable[EntitlementRow], now: datetime) -> dict[str, Effective]:
    """The same, and until when each value holds."""
    found: dict[str, list[Effective]] = {}
    seats: dict[str, list[Effective]] = {}
    for grant in grants:
        if in_force(grant, now):
            for name, value in grant.entitlements.items():
                each = Effective(value=value, expires_at=grant.expires_at)
                kept = seats if adds_up(grant, name) else found
                kept.setdefault(name, []).append(each)
    for name, some in seats.items():
        found.setdefault(name, []).append(_sum(some))
    return {name: max(each, key=_weight) for name, each in sorted(found.items())}


def changed(
    grants: Mapping[Key, EntitlementRow],
    pairs: Iterable[tuple[EntitlementRow | None, EntitlementRow | None]],
) -> dict[Key, EntitlementRow]:
    """The grants after these of them, told as before and after, have changed."""
    after = dict(grants)
    for before, now in pairs:
        if before is not None:
            after.pop(before.key, None)
        if now is not None:
            after[now.key] = now
    return after


def in_force(row: EntitlementRow, now: datetime) -> bool:
    """Whether the row grants at this moment."""
    return row.active and row.starts_at <= now and (row.expires_at is None or row.expires_at > now)


def adds_up(row: EntitlementRow, feature: str) -> bool:
    """Whether the feature's numbers are summed over a user's sources."""
    return feature in row.per_seat and not isinstance(row.entitlements[feature], bool)


def counts(
    row: EntitlementRow,
    feature: str,
    among: Iterable[EntitlementRow],
    worth: Mapping[str, Effective],
    now: datetime,
) -> bool:
    """Whether the value is this row's, or the sum of seats that this row is part of."""
    if not in_force(row, now):
        return False
    value = row.entitlements[feature]
    if adds_up(row, feature):
        value = sum(
            each.entitlements[feature]
            for each in among
            if feature in each.entitlements and adds_up(each, feature) and in_force(each, now)
        )
    return feature in worth and worth[feature].value == value


def _sum(some: Iterable[Effective]) -> Effective:
    some = tuple(some)
    ends = (each.expires_at for each in some if each.expires_at)
    return Effective(value=sum(each.value for each in some), expires_at=min(ends, default=None))


def _weight(each: Effective) -> tuple[bool, Any, bool, datetime]:
    """PostgreSQL puts true and false above every number, and no end above every end."""
    ends = each.expires_at
    return isinstance(each.value, bool), each.value, ends is None, ends or _NO_TIME
