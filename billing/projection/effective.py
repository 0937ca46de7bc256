"""The effective features of a user: several grants merged as the view merges them.

The database view ``effective_entitlements`` sees current rows only. This module serves catalogues
that are not yet in force, and past moments.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from billing.rows import EntitlementRow, Key

_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveValue:
    """The value of a feature, and the time until which it holds."""

    value: Any
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlikeGrants:
    """Grants in force of one user with the same features, and the first and last of their ends.

    ``first_end`` is None if none of them has an end, ``last_end`` if one has none. Both ``number``
    and ``first_end`` count only where numbers add up.
    """

    entitlements: Mapping[str, Any]
    per_seat: Collection[str]
    number: int
    first_end: datetime | None
    last_end: datetime | None

    @classmethod
    def of(cls, row: EntitlementRow) -> "AlikeGrants":
        """Return one grant, like which there is no other."""
        return cls(
            entitlements=row.entitlements,
            per_seat=row.per_seat,
            number=1,
            first_end=row.expires_at,
            last_end=row.expires_at,
        )


def merge_grants(grants: Iterable[EntitlementRow], now: datetime) -> dict[str, Any]:
    """Return the user's features at a moment: "or", the maximum, and the sum of seats."""
    return {name: each.value for name, each in effective_values(grants, now).items()}


def effective_values(grants: Iterable[EntitlementRow], now: datetime) -> dict[str, EffectiveValue]:
    """Return the user's features at a moment, each with the time until which it holds."""
    return merge_alike(AlikeGrants.of(grant) for grant in grants if in_force(grant, now))


def merge_alike(grants: Iterable[AlikeGrants]) -> dict[str, EffectiveValue]:
    """Return the features that these grants give, each with the time until which it holds."""
    found: dict[str, list[EffectiveValue]] = {}
    seats: dict[str, list[EffectiveValue]] = {}
    for grant in grants:
        for name, value in grant.entitlements.items():
            if adds_up(grant, name):
                summed = EffectiveValue(value=value * grant.number, expires_at=grant.first_end)
                seats.setdefault(name, []).append(summed)
            else:
                each = EffectiveValue(value=value, expires_at=grant.last_end)
                found.setdefault(name, []).append(each)
    for name, some in seats.items():
        found.setdefault(name, []).append(_sum(some))
    return {name: max(each, key=_weight) for name, each in sorted(found.items())}


def with_changes(
    grants: Mapping[Key, EntitlementRow],
    pairs: Iterable[tuple[EntitlementRow | None, EntitlementRow | None]],
) -> dict[Key, EntitlementRow]:
    """Return the grants after changes, each given as the row before and after."""
    after = dict(grants)
    for before, now in pairs:
        if before is not None:
            after.pop(before.key, None)
        if now is not None:
            after[now.key] = now
    return after


def in_force(row: EntitlementRow, now: datetime) -> bool:
    """Return True if the row grants at this moment.

    What Stripe says is in force is in force: the start of a row is for people.
    """
    return row.active and (row.expires_at is None or row.expires_at > now)


def adds_up(row: EntitlementRow | AlikeGrants, feature: str) -> bool:
    """Return True if the feature's numbers are summed over a user's sources."""
    return feature in row.per_seat and not isinstance(row.entitlements[feature], bool)


def counts(
    row: EntitlementRow,
    feature: str,
    among: Iterable[EntitlementRow],
    effective: Mapping[str, EffectiveValue],
    now: datetime,
) -> bool:
    """Return True if the value comes from this row, or from a sum that includes it."""
    if not in_force(row, now):
        return False
    value = row.entitlements[feature]
    if adds_up(row, feature):
        value = sum(
            each.entitlements[feature]
            for each in among
            if feature in each.entitlements and adds_up(each, feature) and in_force(each, now)
        )
    return feature in effective and effective[feature].value == value


def _sum(some: Iterable[EffectiveValue]) -> EffectiveValue:
    some = tuple(some)
    ends = (each.expires_at for each in some if each.expires_at)
    return EffectiveValue(
        value=sum(each.value for each in some), expires_at=min(ends, default=None)
    )


def _weight(each: EffectiveValue) -> tuple[bool, Any, bool, datetime]:
    """Return a sort key as PostgreSQL sorts: booleans above numbers, no end above every end."""
    ends = each.expires_at
    return isinstance(each.value, bool), each.value, ends is None, ends or _NO_TIME
