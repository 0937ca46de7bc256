"""Refunds and disputes of the newest paid period of a subscription, by policy."""

from typing import Any

import pytest

from billing.catalogue import Catalogue
from billing.facts import Fact, Line
from billing.rows import EntitlementRow
from tests.billing.fact_builders import (
    DAY,
    at,
    charge,
    credit_note,
    dispute,
    invoice,
    invoice_payment,
    item,
    only_grant,
    open_invoice,
    project_facts,
    refund,
    subscribed,
    subscription,
    with_policy,
)

REFUND = with_policy({"subscription_refund_full": "end"})
OPEN = with_policy({"subscription_dispute_open": "end"})
LOST = with_policy({"subscription_dispute_lost": "end"})
RUNNING = subscription("active", 0, item(id="si_1"))


def line(**given: Any) -> Line:
    usual = {
        "id": "il_1",
        "amount": 2999,
        "price": "price_premium",
        "lookup_key": None,
        "product": None,
        "kind": "subscription",
        "period_end": at(30 * DAY),
    }
    return Line(**{**usual, **given})


def paid(seconds: float = 0, *lines: Line, number: int = 1, amount: int = 2999) -> list[Fact]:
    """Return an invoice that one charge paid."""
    return [
        invoice(seconds, stripe_id=f"in_{number}", lines=lines or (line(),), amount_paid=amount),
        invoice_payment(
            seconds,
            amount,
            stripe_id=f"inpay_{number}",
            invoice=f"in_{number}",
            paid_by=f"pi_{number}",
        ),
        charge(
            seconds,
            stripe_id=f"ch_{number}",
            payment_intent=f"pi_{number}",
            amount=amount,
            amount_captured=amount,
        ),
    ]


def grant(*facts: Fact | list[Fact], by: Catalogue) -> EntitlementRow:
    return only_grant(project_facts(RUNNING, *facts, catalogue=by, now=DAY))


def test_a_full_refund_of_the_newest_period_ends_access_only_by_policy() -> None:
    facts = [*paid(), refund("succeeded", 500, event="evt_back")]

    assert grant(facts, by=with_policy({})).active
    row = grant(facts, by=REFUND)
    assert (row.active, row.expires_at, row.event_id) == (False, at(500), "evt_back")
    assert row.because == (
        "The payment of the newest period of its subscription (invoice in_1) was refunded in full,"
        " which ends access by policy."
    )


def test_the_running_total_of_a_charge_is_a_refund_too() -> None:
    facts = [*paid(), charge(500, amount_refunded=2999, how={"event": "evt_back"})]

    assert grant(facts, by=REFUND).event_id == "evt_back"


def test_a_partial_refund_a_failed_one_and_one_of_nothing_end_nothing() -> None:
    for back in (refund(amount=2998), refund("failed"), refund("pending")):
        assert grant(paid(), back, by=REFUND).active


def test_full_is_what_its_lines_cost_after_discounts_and_not_what_else_was_billed() -> None:
    lines = [line(discount=999), line(id="il_2", amount=5000, kind="invoiceitem", price="price_x")]

    assert not grant(paid(0, *lines, amount=7000), refund(amount=2000), by=REFUND).active
    assert grant(paid(0, *lines, amount=7000), refund(amount=1999), by=REFUND).active


def test_a_subscription_of_which_no_period_was_paid_is_ended_by_nothing() -> None:
    assert grant(by=REFUND).active
    assert grant(open_invoice(lines=(line(),)), by=REFUND).active


def test_a_period_without_a_price_is_refunded_by_nothing() -> None:
    free = [line(amount=0), line(id="il_2", kind="invoiceitem", price="price_x")]

    assert grant(paid(0, *free), refund(), by=REFUND).active


@pytest.mark.parametrize(
    "other",
    [
        line(period_end=at(60 * DAY), proration=True),
        line(period_end=at(60 * DAY), kind="invoiceitem"),
        line(period_end=at(60 * DAY), price="price_x"),
        line(period_end=at(20 * DAY)),
        line(period_end=None),
    ],
)
def test_the_newest_period_is_that_of_an_entitled_item_that_ends_last(other: Line) -> None:
    later = paid(5, other, number=2)

    assert not grant(paid(), later, refund(), by=REFUND).active


def test_a_later_paid_period_restores_access() -> None:
    later = paid(5, line(period_end=at(60 * DAY)), number=2)
    unpaid = invoice(5, stripe_id="in_2", lines=(line(period_end=at(60 * DAY)),), amount_paid=0)

    assert grant(paid(), later, refund(), by=REFUND).active
    assert not grant(paid(), unpaid, refund(), by=REFUND).active


def test_a_debit_that_the_bank_returned_pays_no_period() -> None:
    later = paid(5, line(period_end=at(60 * DAY)), number=2)
    returned = charge(900, stripe_id="ch_2", payment_intent="pi_2", status="failed")

    assert not grant(paid(), later, returned, refund(), by=REFUND).active


def test_money_given_back_outside_stripe_is_gone_as_well() -> None:
    note = credit_note(500, out_of_band_amount=2999, how={"event": "evt_note"})

    assert grant(paid(), note, by=REFUND).event_id == "evt_note"


def test_a_period_is_paid_by_a_payment_whose_invoice_was_seen_open_only() -> None:
    seen_open = invoice(lines=(line(),), amount_paid=0, status="open")

    assert not grant([seen_open, *paid()[1:]], refund(), by=REFUND).active


def test_an_item_is_entitled_by_its_id_where_its_price_is_in_no_plan() -> None:
    kept = [RUNNING, subscription("active", 9, item("price_x", id="si_1"))]
    billed = paid(9, line(price="price_x", subscription_item="si_1", kind=None))

    row = only_grant(project_facts(*kept, *billed, refund(), catalogue=REFUND, now=DAY))

    assert not row.active


def test_an_open_dispute_ends_access_by_policy_and_a_won_one_restores_it() -> None:
    opened = dispute("needs_response", 500)

    assert grant(paid(), opened, by=LOST).active
    assert grant(paid(), opened, by=OPEN).because == (
        "Dispute dp_1 of the newest period of its subscription (invoice in_1) is open, which ends"
        " access by policy."
    )
    assert grant(paid(), opened, dispute("won", 900), by=OPEN).active


def test_a_lost_dispute_over_all_of_it_ends_access_by_policy() -> None:
    row = grant(paid(), dispute("lost", 500, event="evt_lost"), by=LOST)

    assert (row.active, row.expires_at, row.event_id) == (False, at(500), "evt_lost")
    assert row.because == (
        "A dispute of the newest period of its subscription (invoice in_1) was lost, which ends"
        " access by policy."
    )
    assert grant(paid(), dispute("lost", 500), by=REFUND).active


def test_what_was_refunded_and_what_was_lost_add_up() -> None:
    lost = dispute("lost", 500)
    part = paid(0, line(amount=4000), amount=4000)

    assert grant(part, lost, by=LOST).active
    assert grant(part, lost, refund(amount=1000), by=LOST).active
    assert not grant(part, lost, refund(amount=1001), by=LOST).active


def test_a_lost_dispute_in_another_currency_is_over_the_whole_payment() -> None:
    whole = paid(0, line(amount=4000), amount=4000)
    in_euro = [charge(0, amount=4000, amount_captured=4000, currency="eur")]

    assert grant(whole[:2], in_euro, dispute("lost", 500), by=LOST).active is False


def test_an_inferred_payment_decides_no_end() -> None:
    unlinked = [paid()[0], charge(0, payment_intent=None, stripe_id="ch_9")]
    back = refund(charge="ch_9", payment_intent=None)

    assert grant(unlinked, back, by=REFUND).active


def test_a_payment_that_no_event_showed_decides_no_end() -> None:
    assert grant([invoice(lines=(line(),), payment_refs=("pi_9",))], by=REFUND).active


def test_money_that_went_back_ends_what_only_a_checkout_granted() -> None:
    facts = [subscribed(0), *paid(), refund("succeeded", 500)]

    assert not only_grant(project_facts(*facts, catalogue=REFUND, now=DAY)).active


def test_what_gives_no_access_anyway_keeps_its_own_reason() -> None:
    facts = [subscription("unpaid", 0), *paid(), refund("succeeded", 500)]

    row = only_grant(project_facts(*facts, catalogue=REFUND, now=DAY))
    assert row.because == "Subscription sub_1 is unpaid, which gives no access."


def test_a_plan_without_grace_left_stays_as_it_is_when_another_ends() -> None:
    both = subscription("past_due", 9, item(id="si_1"), item("price_basic"))
    rows = project_facts(both, *paid(), refund(), catalogue=REFUND, now=DAY).entitlements

    reasons = {str(row.plan_code): row.because for row in rows.values()}
    assert reasons["basic"].startswith("Subscription sub_1 is past due")
    assert reasons["premium"].startswith("The payment of the newest period")


def test_an_invoice_whose_payment_no_event_showed_is_paid_by_its_own_word() -> None:
    unseen = invoice(lines=(line(),), payment_refs=("ch_unseen",))
    later = invoice(
        9, stripe_id="in_2", lines=(line(period_end=at(60 * DAY)),), payment_refs=("ch_unseen",)
    )

    assert grant(unseen, by=REFUND).active
    assert not grant(paid(), refund(), by=REFUND).active
    assert grant(paid(), refund(), later, by=REFUND).active


def test_the_smallest_period_is_refunded_in_full() -> None:
    smallest = paid(0, line(amount=1), amount=1)

    assert not grant(smallest, refund(amount=1), by=REFUND).active
