"""Decisions that take access or move money."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing.ids import EventId, PlanCode, Realm, UserId
from billing.rows import EntitlementRow
from runtime.ledger.decisions import EntitlementChanged, EntitlementGranted, EntitlementRevoked
from runtime.ledger.effects import takes_access, users_harmed

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ROW = EntitlementRow(
    realm=Realm("live"),
    user_id=UserId("usr_1"),
    source="sub_1",
    plan_code=PlanCode("premium"),
    entitlements={"signals_enabled": True, "max_devices": 5},
    active=True,
    starts_at=NOW,
    expires_at=NOW,
    event_id=EventId("evt_1"),
    because="paid",
)


@pytest.mark.parametrize(
    ("change", "takes"),
    [
        ({}, False),
        ({"because": "paid again"}, False),
        ({"expires_at": None}, False),
        ({"expires_at": NOW + timedelta(days=1)}, False),
        ({"entitlements": {"signals_enabled": True, "max_devices": 6, "more": 1}}, False),
        ({"expires_at": NOW - timedelta(seconds=1)}, True),
        ({"active": False}, True),
        ({"user_id": UserId("usr_2")}, True),
        ({"entitlements": {"signals_enabled": True, "max_devices": 4}}, True),
        ({"entitlements": {"signals_enabled": False, "max_devices": 5}}, True),
        ({"entitlements": {"max_devices": 5}}, True),
        ({"entitlements": {"signals_enabled": True, "max_devices": "5"}}, True),
    ],
)
def test_less_access_is_access_taken(change: dict[str, Any], *, takes: bool) -> None:
    after = replace(ROW, **change)

    assert takes_access(ROW, after) is takes
    changed = EntitlementChanged(before=ROW, after=after)
    assert users_harmed([changed]) == (frozenset({"usr_1"}) if takes else frozenset())


def test_a_grant_takes_nothing_and_a_deleted_row_takes_all() -> None:
    ended = replace(ROW, active=False)

    assert not takes_access(None, ROW)
    assert not takes_access(ended, None)
    assert takes_access(ROW, None)
    assert users_harmed([EntitlementGranted(before=ended, after=ROW)]) == frozenset()
    assert users_harmed([EntitlementRevoked(before=ROW, after=None)]) == {"usr_1"}
