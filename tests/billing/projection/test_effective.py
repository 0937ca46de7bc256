"""Several grants of one user merge by "or", by maximum and by the sum of seats."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from billing.ids import EventId, PlanCode, Realm, UserId
from billing.projection.effective import (
    AlikeGrants,
    EffectiveValue,
    counts,
    effective_values,
    in_force,
    merge_alike,
    merge_grants,
    with_changes,
)
from billing.rows import EntitlementRow
from tests.billing.fact_builders import START, at

NOW = at(1000)
SOON, LATE = at(2000), at(3000)


def row(number: int, features: dict[str, Any], *seats: str, **given: Any) -> EntitlementRow:
    values: dict[str, Any] = {"active": True, "starts_at": START, "expires_at": None}
    return EntitlementRow(
        realm=Realm("test"),
        user_id=UserId("usr_1"),
        source=f"sub_{number}",
        plan_code=PlanCode("plan"),
        entitlements=features,
        event_id=EventId("evt_1"),
        because="",
        per_seat=seats,
        **(values | given),
    )


@pytest.mark.parametrize(
    ("grants", "merged"),
    [
        ([], {}),
        ([({"a": True, "n": 5}, ()), ({"a": False, "n": 7}, ())], {"a": True, "n": 7}),
        ([({"n": 5}, ("n",)), ({"n": 7}, ("n",))], {"n": 12}),
        ([({"n": 5}, ("n",)), ({"n": 7}, ("n",)), ({"n": 20}, ())], {"n": 20}),
        ([({"n": 5}, ("n",)), ({"n": 7}, ()), ({"n": 1}, ("n",))], {"n": 7}),
        ([({"n": True}, ("n",)), ({"n": 9}, ())], {"n": True}),
        ([({"n": False}, ()), ({"n": 9}, ("n",))], {"n": False}),
    ],
)
def test_values_of_one_feature_merge(
    grants: list[tuple[dict[str, Any], tuple[str, ...]]], merged: dict[str, Any]
) -> None:
    rows = [row(number, features, *seats) for number, (features, seats) in enumerate(grants)]

    assert merge_grants(rows, NOW) == merged


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, True),
        ({"active": False}, False),
        ({"starts_at": NOW}, True),
        ({"starts_at": NOW + timedelta(seconds=1)}, True),
        ({"expires_at": NOW}, False),
        ({"expires_at": NOW + timedelta(seconds=1)}, True),
    ],
)
def test_a_row_is_in_force_until_its_end_whatever_its_start(
    given: dict[str, Any], *, expected: bool
) -> None:
    assert in_force(row(1, {"n": 1}, **given), NOW) is expected
    assert (merge_grants([row(1, {"n": 1}, **given)], NOW) == {"n": 1}) is expected


def test_the_value_with_the_latest_end_wins_among_equal_values() -> None:
    rows = [
        row(1, {"n": 5, "open": 1}, expires_at=LATE),
        row(2, {"n": 5, "open": 1}, expires_at=SOON),
        row(3, {"n": 4, "open": 1}),
    ]

    for order in (rows, rows[::-1]):
        assert effective_values(order, NOW) == {
            "n": EffectiveValue(value=5, expires_at=LATE),
            "open": EffectiveValue(value=1, expires_at=None),
        }


@pytest.mark.parametrize(("ends", "first"), [((SOON, LATE, None), SOON), ((None, None), None)])
def test_a_sum_of_seats_holds_until_the_first_of_them_ends(ends: Any, first: Any) -> None:
    rows = [row(n, {"seats": 2}, "seats", expires_at=end) for n, end in enumerate(ends)]

    assert effective_values(rows, NOW) == {
        "seats": EffectiveValue(value=2 * len(ends), expires_at=first)
    }


def test_grants_that_are_alike_merge_as_each_of_them_would() -> None:
    features = {"n": 5, "seats": 2}
    rows = [row(n, features, "seats", expires_at=end) for n, end in enumerate((LATE, SOON, LATE))]
    alike = AlikeGrants(
        entitlements=features, per_seat=["seats"], number=3, first_end=SOON, last_end=LATE
    )
    other = row(9, {"n": 4, "seats": 1}, "seats")

    merged = merge_alike([alike, AlikeGrants.of(other)])

    assert merged == effective_values([*rows, other], NOW)
    assert merged == {
        "n": EffectiveValue(value=5, expires_at=LATE),
        "seats": EffectiveValue(value=7, expires_at=SOON),
    }


def test_changes_replace_add_and_remove_rows() -> None:
    kept, old, removed, added = (row(number, {"n": number}) for number in range(4))
    new = replace(old, entitlements={"n": 9})
    grants = {each.key: each for each in (kept, old, removed)}

    after = with_changes(grants, [(old, new), (removed, None), (None, added)])

    assert list(after.values()) == [kept, new, added]
    assert grants[old.key] is old
    assert with_changes({}, [(removed, None)]) == {}


def test_a_row_counts_if_its_value_or_its_sum_is_the_effective_one() -> None:
    most, less = row(1, {"n": 7}), row(2, {"n": 5})
    one, other = row(3, {"seats": 2}, "seats"), row(4, {"seats": 3}, "seats")
    over = row(5, {"n": 7, "seats": 2}, "seats", expires_at=NOW)
    rows = [most, less, one, other, over]
    worth = effective_values(rows, NOW)

    counting = [
        (each.source, name)
        for each in rows
        for name in each.entitlements
        if counts(each, name, rows, worth, NOW)
    ]

    assert counting == [("sub_1", "n"), ("sub_3", "seats"), ("sub_4", "seats")]
    assert not counts(most, "n", rows, {}, NOW)
