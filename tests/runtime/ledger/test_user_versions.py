"""Steps are counted for each user whose rows they change, before any database is asked."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from billing.ids import CustomerId, EventId, PartyId, PlanCode, Realm, UserId
from billing.rows import CustomerRow, EntitlementRow
from runtime.ledger.decisions import Decision, RowDeleted, RowUpserted
from runtime.ledger.difference import difference
from runtime.ledger.rows import Rows, TableName, no_rows
from runtime.ledger.user_versions import PendingVersions
from runtime.ledger.write import ChangeCause, PendingWrites

THEN = datetime(2026, 1, 1, tzinfo=UTC)
TEST = Realm("test")
GRANT = EntitlementRow(
    realm=TEST,
    user_id=UserId("usr_1"),
    source="sub_1",
    plan_code=PlanCode("premium"),
    entitlements={"signals_enabled": True},
    active=True,
    starts_at=THEN,
    expires_at=None,
    event_id=EventId("evt_1"),
    because="It is active.",
)
CAUSE = ChangeCause(actor="stripe", origin="stripe", occurred_at=THEN)


def grants(*rows: EntitlementRow) -> Rows:
    return no_rows() | {TableName.ENTITLEMENTS: {row.key: row for row in rows}}


def counted(*steps: tuple[Decision, ...]) -> dict[str, int]:
    versions = PendingVersions()
    for decisions in steps:
        versions.add_step(decisions)
    return dict(versions.steps)


def test_a_step_counts_once_for_a_user_however_many_rows_it_changes() -> None:
    other = replace(GRANT, source="sub_2")

    assert counted(difference(no_rows(), grants(GRANT, other))) == {"usr_1": 1}


@pytest.mark.parametrize(
    "after",
    [
        replace(GRANT, active=False),
        replace(GRANT, expires_at=THEN),
        replace(GRANT, event_id=EventId("evt_2")),
        replace(GRANT, because="It is trialing."),
        replace(GRANT, guessed=True),
    ],
)
def test_any_other_content_of_a_row_counts(after: EntitlementRow) -> None:
    assert counted(difference(grants(GRANT), grants(after))) == {"usr_1": 1}


def test_a_step_that_changes_no_row_counts_for_nobody() -> None:
    customer = CustomerRow(
        realm=TEST, stripe_customer_id=CustomerId("cus_1"), user_id=UserId("usr_1")
    )
    of_customer = no_rows() | {TableName.CUSTOMERS: {customer.key: customer}}

    assert counted((), difference(no_rows(), of_customer)) == {}


def test_a_row_that_is_only_renewed_counts_for_nobody() -> None:
    renewed = RowUpserted(table=TableName.ENTITLEMENTS, row=GRANT, is_renewal=True)

    assert counted((renewed,)) == {}


def test_a_grant_that_moves_counts_for_both_users() -> None:
    moved = replace(GRANT, user_id=UserId("usr_2"))

    assert counted(difference(grants(GRANT), grants(moved))) == {"usr_1": 1, "usr_2": 1}


def test_a_row_that_is_deleted_counts() -> None:
    gone = RowDeleted(table=TableName.ENTITLEMENTS, key=GRANT.key)

    assert counted((gone,)) == {"usr_1": 1}


def test_steps_that_undo_each_other_count_each() -> None:
    there, back = (
        difference(grants(GRANT), grants(replace(GRANT, active=False))),
        difference(grants(replace(GRANT, active=False)), grants(GRANT)),
    )

    assert counted(there, back) == {"usr_1": 2}


def test_each_change_in_the_audit_knows_its_place_among_the_steps_of_its_user() -> None:
    pending = PendingWrites()
    of_other = replace(GRANT, user_id=UserId("usr_2"), source="sub_2")
    for before, after in (
        (no_rows(), grants(GRANT)),
        (no_rows(), grants(of_other)),
        (grants(GRANT), grants(replace(GRANT, because="It is trialing."))),
        (grants(GRANT), grants(replace(GRANT, active=False))),
    ):
        pending.add(CAUSE, PartyId("test:cus_1"), iter(difference(before, after)))

    raised = {"usr_1": 10, "usr_2": 1}
    versions = [
        pending.versions.version_after(entry["user_id"], raised, entry["version"])
        for entry in pending.audit
    ]

    assert [entry["user_id"] for entry in pending.audit] == ["usr_1", "usr_2", "usr_1"]
    assert versions == [8, 1, 10]
