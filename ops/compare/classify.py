"""Sort what Paidup grants and what an application grants into classes, user by user. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any, Final

from ops.compare.values import CurrentValue, Weight, is_nothing, weigh


class AccessClass(StrEnum):
    """The classes, those that need a decision before a switch first."""

    THEIRS_ONLY = "theirs only"
    UNKNOWN_USER = "unknown user"
    OURS_LESS = "ours less"
    UNLIKE = "unlike"
    OURS_MORE = "ours more"
    OURS_ONLY = "ours only"
    RECENT = "changed within the hour"
    SAME = "same"


AGREEING: Final = frozenset({AccessClass.SAME, AccessClass.RECENT})
"""The classes that are no difference: what changed a moment ago may not have reached both yet."""

_BY_WEIGHT: Final = {
    Weight.EQUAL: AccessClass.SAME,
    Weight.MORE: AccessClass.OURS_MORE,
    Weight.LESS: AccessClass.OURS_LESS,
    Weight.UNLIKE: AccessClass.UNLIKE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UserOnBothSides:
    """Everything that one user has on both sides."""

    user_id: str
    ours: Mapping[str, Any]
    theirs: Mapping[str, CurrentValue]

    @property
    def differ(self) -> bool:
        """True if any feature is not the same on both sides."""
        return any(klass is not AccessClass.SAME for _, klass in _of_features(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class UserStanding:
    """The facts about a user that explain a difference as a whole."""

    known: bool
    """An event, a grant or a link has named the user."""
    recent: bool
    """By an event or by time, access of the user changed within the hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedFeature:
    """One feature of one user on both sides."""

    user_id: str
    feature: str
    access_class: AccessClass
    ours: Any
    theirs: CurrentValue


EXPECTED: Final = UserStanding(known=True, recent=False)
"""The standing of a user about whom nothing has to be asked."""


def merge_users(
    ours: Iterable[tuple[str, str, Any]], theirs: Iterable[tuple[str, str, CurrentValue]]
) -> Iterator[UserOnBothSides]:
    """Join two lists of user, feature and value, both sorted by the code points of the user."""
    left, right = _grouped(ours), _grouped(theirs)
    mine, other = next(left, None), next(right, None)
    while mine or other:
        user = min(each[0] for each in (mine, other) if each)
        yield UserOnBothSides(
            user_id=user,
            ours=mine[1] if mine and mine[0] == user else {},
            theirs=other[1] if other and other[0] == user else {},
        )
        if mine and mine[0] == user:
            mine = next(left, None)
        if other and other[0] == user:
            other = next(right, None)


def classify(user: UserOnBothSides, standing: UserStanding) -> Iterator[ComparedFeature]:
    """Yield each feature of a user with its class."""
    for feature, klass in _of_features(user):
        yield ComparedFeature(
            user_id=user.user_id,
            feature=feature,
            access_class=klass if klass is AccessClass.SAME else _in_context(klass, standing),
            ours=user.ours.get(feature),
            theirs=user.theirs.get(feature),
        )


def _grouped(rows: Iterable[tuple[str, str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for user, of_user in groupby(rows, key=lambda row: row[0]):
        yield user, {feature: value for _, feature, value in of_user}


def _of_features(user: UserOnBothSides) -> Iterator[tuple[str, AccessClass]]:
    for feature in sorted({*user.ours, *user.theirs}):
        yield feature, _class_of(user.ours.get(feature), user.theirs.get(feature))


def _class_of(ours: Any, theirs: CurrentValue) -> AccessClass:
    match is_nothing(ours), is_nothing(theirs):
        case True, True:
            return AccessClass.SAME
        case True, False:
            return AccessClass.THEIRS_ONLY
        case False, True:
            return AccessClass.OURS_ONLY
        case _:
            return _BY_WEIGHT[weigh(ours, theirs)]


def _in_context(klass: AccessClass, standing: UserStanding) -> AccessClass:
    if standing.recent:
        return AccessClass.RECENT
    if klass is AccessClass.THEIRS_ONLY and not standing.known:
        return AccessClass.UNKNOWN_USER
    return klass
