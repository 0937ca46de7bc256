from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.compare.classify import (
    EXPECTED,
    AccessClass,
    UserOnBothSides,
    UserStanding,
    classify,
    merge_users,
)

UNKNOWN = UserStanding(known=False, recent=False)
RECENT = UserStanding(known=False, recent=True)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=3)
lists = st.dictionaries(st.tuples(texts, texts), st.integers(0, 2), max_size=12)


def class_of(ours: Any, theirs: Any, standing: UserStanding = EXPECTED) -> AccessClass:
    user = UserOnBothSides(
        user_id="usr_1",
        ours={} if ours is None else {"pro": ours},
        theirs={} if theirs is None else {"pro": theirs},
    )
    (compared,) = classify(user, standing)
    assert user.differ == (compared.access_class is not AccessClass.SAME)
    return compared.access_class


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (True, "t", AccessClass.SAME),
        (None, "f", AccessClass.SAME),
        (5, "4", AccessClass.OURS_MORE),
        (5, "6", AccessClass.OURS_LESS),
        (5, "many", AccessClass.UNLIKE),
        (True, None, AccessClass.OURS_ONLY),
        (True, "no", AccessClass.OURS_ONLY),
        (None, "yes", AccessClass.THEIRS_ONLY),
    ],
)
def test_each_pair_of_values_has_one_class(ours: Any, theirs: Any, expected: AccessClass) -> None:
    assert class_of(ours, theirs) is expected


def test_a_user_whom_nothing_names_is_a_class_of_its_own() -> None:
    assert class_of(None, "yes", UNKNOWN) is AccessClass.UNKNOWN_USER
    assert class_of(None, "no", UNKNOWN) is AccessClass.SAME


@pytest.mark.parametrize(("ours", "theirs"), [(True, None), (None, True), (5, 4), (4, 5)])
def test_a_difference_of_the_last_hour_may_be_the_application_s_delay(
    ours: Any, theirs: Any
) -> None:
    assert class_of(ours, theirs, RECENT) is AccessClass.RECENT


def test_what_is_the_same_is_the_same_however_young_it_is() -> None:
    assert class_of(5, 5, RECENT) is AccessClass.SAME


def rows(values: dict[tuple[str, str], int]) -> list[tuple[str, str, int]]:
    return [(user, feature, value) for (user, feature), value in sorted(values.items())]


@given(lists, lists)
def test_each_user_of_either_list_comes_once_with_all_its_features(
    ours: dict[tuple[str, str], int], theirs: dict[tuple[str, str], int]
) -> None:
    merged = list(merge_users(rows(ours), rows(theirs)))

    assert [each.user_id for each in merged] == sorted({user for user, _ in {**ours, **theirs}})
    assert {(u.user_id, f): v for u in merged for f, v in u.ours.items()} == ours
    assert {(u.user_id, f): v for u in merged for f, v in u.theirs.items()} == theirs
