"""A customer with a test clock lives in its time."""

from datetime import datetime

from billing.facts import Fact
from billing.rows import EntitlementRow
from tests.billing.fact_builders import (
    DAY,
    at,
    customer,
    invoice,
    item,
    only_grant,
    open_invoice,
    project_facts,
    subscribed,
    subscription,
)

CLOCK = {"test_clock": "clock_1"}
ENDING = subscription(at_period_end=True, stated=CLOCK)


def grant(*facts: Fact, now: float = DAY) -> EntitlementRow:
    return only_grant(project_facts(*facts, now=now))


def test_what_ends_by_the_clock_has_ended_although_our_time_is_earlier() -> None:
    later = subscription("active", 31 * DAY, at_period_end=True, stated=CLOCK)

    assert grant(ENDING).active
    assert not grant(ENDING, later).active
    assert grant(ENDING, later).because == "Subscription sub_1 ended on 2026-12-01."


def test_the_clock_may_be_named_by_the_customer_or_an_invoice() -> None:
    later = [
        subscription("active", at_period_end=True),
        invoice(31 * DAY, user_id="usr_1", test_clock="clock_1"),
    ]

    assert not grant(*later).active
    unnamed = [subscription(at_period_end=True), open_invoice(31 * DAY)]
    assert grant(*unnamed).active
    assert not grant(*unnamed, customer("usr_1", clock="clock_1")).active


def test_the_newest_time_that_anything_tells_is_the_clocks() -> None:
    later = subscription("active", 31 * DAY, at_period_end=True, stated=CLOCK)

    assert not grant(ENDING, later, open_invoice(5 * DAY)).active


def test_an_invoice_of_the_clocks_time_tells_it_although_the_event_is_of_ours() -> None:
    for moment in ("own_created_at", "finalized_at", "paid_at"):
        assert not grant(ENDING, open_invoice(1, **{moment: at(31 * DAY)})).active


def test_a_period_that_began_tells_the_clocks_time() -> None:
    begun = item(id="si_1", period_start=at(31 * DAY), period_end=61 * DAY)
    assert grant(subscription("active", 0, begun, cancel_at=32 * DAY, stated=CLOCK)).active
    assert not grant(subscription("active", 0, begun, cancel_at=31 * DAY, stated=CLOCK)).active


def test_our_time_counts_where_it_is_later_and_for_every_other_customer() -> None:
    other = subscription(
        "active", 99 * DAY, stripe_id="sub_2", customer="cus_2", stated=CLOCK, at_period_end=True
    )
    unclocked = subscription("active", 0, at_period_end=True)
    rows = project_facts(unclocked, other, now=DAY).entitlements

    assert {row.source: row.active for row in rows.values()} == {"sub_1": True, "sub_2": False}
    assert not grant(ENDING, now=30 * DAY).active


def test_without_a_clock_no_event_moves_the_time() -> None:
    assert grant(subscription(at_period_end=True), open_invoice(40 * DAY)).active


def test_a_checkout_waits_three_days_of_the_clock() -> None:
    renewed = invoice(5 + 3 * DAY, test_clock="clock_1", lines=())

    assert grant(subscribed(5), now=0).active
    assert not grant(subscribed(5), renewed, now=0).active


def test_an_object_without_customer_has_our_time() -> None:
    alone = subscription(at_period_end=True, customer=None, stated=CLOCK)
    billed = open_invoice(31 * DAY, how={"customer": None}, test_clock="clock_1")

    assert grant(alone, billed).active
    clocked = customer("usr_1", clock="clock_1")
    assert grant(subscription(at_period_end=True), clocked, billed).active
    other = subscription("unpaid", 31 * DAY, stripe_id="sub_2", customer=None)
    rows = project_facts(subscription(at_period_end=True), clocked, other, now=DAY).entitlements
    assert {row.source: row.active for row in rows.values()} == {"sub_1": True, "sub_2": False}


def test_an_end_tells_the_time_of_the_clock() -> None:
    ended = subscription("canceled", 1, stripe_id="sub_2", ended=31 * DAY, stated=CLOCK)
    moment: datetime | None = at(31 * DAY)
    rows = project_facts(ENDING, ended, now=DAY).entitlements

    assert {row.source: (row.active, row.expires_at) for row in rows.values()} == {
        "sub_1": (False, at(30 * DAY)),
        "sub_2": (False, moment),
    }
