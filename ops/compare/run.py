"""Compare an application's list with what Paidup grants; lists of any length take little memory.

list -load-> sorted on disk --+
                              +-merge_users-> batches of users -classify-> AccessComparison
effective_entitlements -------+
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from billing.ids import Realm
from ops.batches import chunks
from ops.compare.because import ReasonsOfUsers
from ops.compare.classify import (
    AGREEING,
    EXPECTED,
    AccessClass,
    ComparedFeature,
    UserOnBothSides,
    classify,
    merge_users,
)
from ops.compare.our_access import access_by_user, standings
from ops.compare.sorted_rows import SortedRows
from ops.compare.values import CurrentValue
from ops.errors import CommandFailed
from ops.queries.audit_history import database_now
from ops.terminal.progress import progress

_USERS_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessDifference:
    """A feature that is not the same on both sides, and why."""

    user_id: str
    feature: str
    access_class: AccessClass
    ours: Any
    theirs: CurrentValue
    because: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class AccessComparison:
    """The result: all counted, and the first differences of each class."""

    as_of: datetime
    users: int = 0
    counts: Counter[AccessClass] = field(default_factory=Counter)
    by_feature: dict[str, Counter[AccessClass]] = field(default_factory=dict)
    differences: list[AccessDifference] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """True if nothing differs but what changed within the hour."""
        return not any(count for each, count in self.counts.items() if each not in AGREEING)

    def add(self, compared: ComparedFeature) -> int:
        """Count a feature, and return how many of its class were counted."""
        self.counts[compared.access_class] += 1
        self.by_feature.setdefault(compared.feature, Counter())[compared.access_class] += 1
        return self.counts[compared.access_class]


def compare(
    connection: Connection, listed: SortedRows, realms: Sequence[Realm], *, limit: int
) -> AccessComparison:
    """Compare a list with a snapshot, and explain the first ``limit`` differences of each class.

    A list that is read before the snapshot shows nothing that the snapshot cannot know.

    Raises:
        CommandFailed: the list contradicts itself.
    """
    _refuse_contradictions(listed)
    comparison = AccessComparison(as_of=database_now(connection))
    reasons = ReasonsOfUsers(connection, realms)
    users = merge_users(access_by_user(connection), listed.by_user())
    with progress("comparing", listed.count()) as report:
        for some in chunks(users, _USERS_AT_ONCE):
            _add_users(comparison, connection, some, reasons, limit)
            report(sum(comparison.counts.values()))
    return comparison


def _add_users(
    comparison: AccessComparison,
    connection: Connection,
    users: Sequence[UserOnBothSides],
    reasons: ReasonsOfUsers,
    limit: int,
) -> None:
    comparison.users += len(users)
    differing = [user for user in users if user.differ]
    asked = standings(connection, differing) if differing else {}
    for user in users:
        for compared in classify(user, asked.get(user.user_id, EXPECTED)):
            number = comparison.add(compared)
            if compared.access_class is not AccessClass.SAME and number <= limit:
                comparison.differences.append(_explained(compared, reasons))


def _explained(compared: ComparedFeature, reasons: ReasonsOfUsers) -> AccessDifference:
    return AccessDifference(
        user_id=compared.user_id,
        feature=compared.feature,
        access_class=compared.access_class,
        ours=compared.ours,
        theirs=compared.theirs,
        because=reasons.of(compared),
    )


def _refuse_contradictions(listed: SortedRows) -> None:
    if found := listed.contradictions():
        lines = "".join(
            f"\n  {each.user_id}, {each.feature}: {each.first} and {each.last}" for each in found
        )
        raise CommandFailed(
            "the list gives a feature of a user different values, nothing was compared; lines or"
            f" rows that contradict each other:{lines}"
        )
