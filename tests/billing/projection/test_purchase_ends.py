"""A purchase ends by its own time, by credit notes, or as its money goes back."""

from typing import Any

import pytest

from billing.catalogue import read_catalogue
from billing.facts import CreditedLine, Fact
from billing.rows import Projection
from tests.billing.fact_builders import (
    DAY,
    at,
    charge,
    checkout,
    credit_note,
    customer,
    dispute,
    intent,
    invoice,
    invoice_payment,
    line,
    only_grant,
    open_invoice,
    project_facts,
    refund,
    with_policy,
)

PASSES = read_catalogue(
    {
        "plans": {
            "day": {"prices": ["price_day"], "lasts_days": 1, "features": {"on": True}},
            "month": {"prices": ["price_month"], "lasts_days": 30, "features": {"on": True}},
            "room": {
                "prices": ["price_room"],
                "lasts_days": 10,
                "features": {"seats": 1},
                "per_seat": ["seats"],
            },
            "century": {"prices": ["price_century"], "lasts_days": 36_525},
        }
    }
)


def bought(seconds: float, number: int, price: str = "price_day", **fields: Any) -> list[Fact]:
    """Return a checkout and its payment."""
    return [
        checkout(
            seconds,
            stripe_id=f"cs_{number}",
            payment_intent=f"pi_{number}",
            price_id=price,
            **fields,
        ),
        intent("succeeded", seconds, stripe_id=f"pi_{number}"),
    ]


def ends(projection: Projection) -> dict[str, float | None]:
    """Return the days after the start at which each purchase ends."""
    return {
        row.purchase_ref: None
        if row.ends_at is None
        else (row.ends_at - at(0)).total_seconds() / DAY
        for row in projection.purchases.values()
    }


def project_passes(*facts: Fact | list[Fact], now: float = 0) -> Projection:
    return project_facts(*facts, now=now, catalogue=PASSES)


def test_a_plan_that_lasts_some_days_ends_that_long_after_its_money_came() -> None:
    facts = [checkout(99, price_id="price_day"), intent("succeeded", 60), charge(60)]
    row = only_grant(project_passes(facts))

    assert (row.active, row.starts_at, row.expires_at) == (True, at(60), at(60 + DAY))
    assert not only_grant(project_passes(facts, now=60 + DAY)).active
    assert project_passes(facts).due_at == at(60 + DAY)


def test_a_pass_of_a_checkout_begins_when_its_invoice_was_paid_where_no_payment_is_known() -> None:
    billed = invoice(150, subscription=None, paid_at=at(60), lines=(line("price_day"),))
    free = checkout(99, invoice="in_1", payment_intent=None, price_id="price_day")
    named_only = checkout(99, invoice="in_1", price_id="price_day")

    assert ends(project_passes(free, billed)) == {"in_1": 1 + 60 / DAY}
    assert ends(project_passes(named_only, billed)) == {"pi_1": 1 + 60 / DAY}
    assert ends(project_passes(named_only, billed, charge(55))) == {"pi_1": 1 + 55 / DAY}


def test_passes_of_one_plan_that_overlap_follow_one_another() -> None:
    facts = [*bought(0, 1), *bought(DAY / 2, 2), *bought(5 * DAY, 3), *bought(0, 4, "price_month")]

    assert ends(project_passes(facts)) == {"pi_1": 1, "pi_2": 2, "pi_3": 6, "pi_4": 30}


def test_passes_of_two_users_do_not_follow_one_another() -> None:
    facts = [*bought(0, 1), *bought(0, 2, user_id="usr_2")]

    assert ends(project_passes(facts)) == {"pi_1": 1, "pi_2": 1}


def test_passes_of_a_customer_without_a_user_follow_one_another() -> None:
    facts = [*bought(0, 1, user_id=None), *bought(0, 2, user_id=None)]

    assert ends(project_passes(facts)) == {"pi_1": 1, "pi_2": 2}


def test_free_passes_of_a_customer_without_a_user_follow_one_another() -> None:
    free: dict[str, Any] = {"payment_status": "no_payment_required", "amount_total": 0}
    facts = [
        checkout(0, stripe_id=name, price_id="price_day", user_id=None, payment_intent=None, **free)
        for name in ("cs_1", "cs_2")
    ]

    assert ends(project_passes(facts)) == {"cs_1": 1, "cs_2": 2}


def test_a_pass_that_was_refunded_makes_no_other_wait() -> None:
    facts = [*bought(0, 1), *bought(5, 2), refund("succeeded", 9, payment_intent="pi_1")]

    assert ends(project_passes(facts))["pi_2"] == 1 + 5 / DAY


def test_a_pass_that_was_refunded_waits_for_no_other() -> None:
    facts = [*bought(0, 1), *bought(5, 2), refund("succeeded", 9, payment_intent="pi_2")]

    assert ends(project_passes(facts)) == {"pi_1": 1, "pi_2": 1 + 5 / DAY}


def test_passes_of_two_customers_without_a_user_do_not_follow_one_another() -> None:
    other = checkout(
        stripe_id="cs_2",
        payment_intent="pi_2",
        price_id="price_day",
        user_id=None,
        how={"customer": "cus_2"},
    )

    assert ends(project_passes(bought(0, 1, user_id=None), other)) == {"pi_1": 1, "pi_2": 1}


def test_a_pass_that_is_not_paid_has_no_end() -> None:
    assert ends(project_passes(checkout(price_id="price_day", payment_status="unpaid"))) == {
        "pi_1": None
    }


def test_a_pass_that_is_paid_in_part_has_no_end() -> None:
    begun = checkout(
        price_id="price_day", payment_status="unpaid", payment_intent=None, invoice="in_1"
    )
    billed = open_invoice(subscription=None, amount_due=2999, amount_paid=1000)
    part = [invoice_payment(0, 1000), intent(amount_received=1000)]

    assert ends(project_passes(begun, billed, part)) == {"pi_1": None}


def test_the_reason_of_a_pass_says_when_it_ends_or_ended() -> None:
    facts = bought(0, 1)

    assert only_grant(project_passes(facts)).because == (
        "Purchase pi_1 is paid and ends on 2026-11-02."
    )
    assert only_grant(project_passes(facts, now=DAY)).because == (
        "Purchase pi_1 ended on 2026-11-02."
    )


def test_a_pass_ends_in_the_time_of_its_customers_clock() -> None:
    clocked = customer("usr_1", clock="clock_1")

    assert only_grant(project_passes(bought(0, 1), clocked)).active
    later = open_invoice(DAY, subscription="sub_1")
    assert not only_grant(project_passes(bought(0, 1), clocked, later)).active


def test_several_passes_of_one_line_last_so_many_times_as_long() -> None:
    facts = bought(0, 1, lines=(line("price_day", quantity=3),))

    assert ends(project_passes(facts)) == {"pi_1": 3}
    assert only_grant(project_passes(facts)).entitlements == {"on": True}


def test_seats_that_last_some_days_run_side_by_side() -> None:
    facts = [
        *bought(0, 1, "price_room", lines=(line("price_room", quantity=3),)),
        *bought(DAY, 2, "price_room", lines=(line("price_room", quantity=2),)),
    ]
    projection = project_passes(facts)

    assert ends(projection) == {"pi_1": 10, "pi_2": 11}
    assert sum(row.entitlements["seats"] for row in projection.entitlements.values()) == 5


def test_a_pass_of_centuries_is_for_good_and_so_is_what_follows_it() -> None:
    facts = [
        *bought(0, 1, lines=(line("price_century", quantity=2),)),
        *bought(0, 2, "price_century"),
    ]

    assert ends(project_passes(facts)) == {"pi_1": None, "pi_2": None}
    assert ends(project_passes(bought(0, 1, "price_century"))) == {"pi_1": 36_525}


def test_a_pass_ends_by_its_plan_and_not_by_the_period_of_its_line() -> None:
    billed = invoice(subscription=None, lines=(line("price_day", lasts=9 * DAY),))

    assert ends(project_passes(customer("usr_1"), billed)) == {"in_1": 1}


def invoiced(*lines: Any, **fields: Any) -> list[Fact]:
    """Return a one-off invoice that ``pi_1`` paid."""
    billed = {"payment_refs": ("pi_1",), "total": 2999, "lines": lines or (line(),), **fields}
    return [customer("usr_1"), invoice(subscription=None, **billed), intent()]


def note(
    seconds: float = 0, total: int = 2999, *, lines: dict[str, int] | None = None, **fields: Any
) -> Fact:
    """Return a credit note; ``lines`` are the amounts by the line that they credit."""
    credited = tuple(
        CreditedLine(invoice_line=each, amount=amount, quantity=None)
        for each, amount in (lines or {}).items()
    )
    return credit_note(seconds, total=total, lines=credited, own_created_at=at(seconds), **fields)


def plans(projection: Projection) -> dict[str, bool]:
    return {row.plan_code: row.active for row in projection.entitlements.values()}


def test_a_line_that_is_credited_whole_is_bought_no_longer() -> None:
    facts = invoiced(line(amount=2000), line("price_basic", 999))
    credited = note(9, 2000, lines={"il_price_premium": 2000}, how={"event": "evt_cn"})
    projection = project_facts(facts, credited)
    premium = next(row for row in projection.entitlements.values() if row.plan_code == "premium")

    assert plans(projection) == {"premium": False, "basic": True}
    assert (premium.event_id, premium.expires_at) == ("evt_cn", at(9))
    assert premium.because == "A line of purchase pi_1 was credited, so it is bought no longer."


def test_notes_add_up_until_a_line_is_credited_whole() -> None:
    notes = [
        note(8, 999, lines={"il_price_premium": 999}),
        note(9, 1000, stripe_id="cn_2", lines={"il_price_premium": 1000}),
    ]
    facts = invoiced(line(amount=1999), line("price_basic", 1000))

    assert plans(project_facts(facts, notes[:1])) == {"premium": True, "basic": True}
    assert plans(project_facts(facts, notes)) == {"premium": False, "basic": True}


def test_a_line_that_is_credited_in_part_ends_where_a_partial_refund_does() -> None:
    strict = with_policy({"refund_partial": "end"})
    sold = invoiced(line(amount=1999), line("price_basic", 1000))
    part = note(8, 999, lines={"il_price_premium": 999})
    outside = note(8, 999, lines={"il_price_premium": 999}, out_of_band_amount=999)

    assert plans(project_facts(sold, part, catalogue=strict)) == {"premium": False, "basic": True}
    both = project_facts(sold, outside, catalogue=strict)
    assert plans(both) == {"premium": False, "basic": False}
    ended = project_facts(sold, part, catalogue=strict).entitlements.values()
    assert {row.because for row in ended if not row.active} == {
        "A line of purchase pi_1 was credited in part, which ends it by policy."
    }


def test_a_plan_stands_by_another_line_while_one_of_it_is_credited() -> None:
    sold = invoiced(line("price_team", 2000, quantity=2), line("price_team", 999, id="il_2"))
    half = note(9, 999, lines={"il_2": 999}, how={"event": "evt_cn"})
    row = only_grant(project_facts(sold, half))

    assert (row.active, row.expires_at, row.entitlements) == (True, None, {"max_devices": 4})
    assert (row.because, row.event_id == "evt_cn") == ("Purchase pi_1 is paid.", False)


def test_what_has_ended_shows_the_seats_that_it_had() -> None:
    sold = invoiced(line("price_team", quantity=2))
    row = only_grant(project_facts(sold, note(9)))
    assert (row.active, row.entitlements) == (False, {"max_devices": 4})

    rooms = bought(0, 1, "price_room", lines=(line("price_room", quantity=3),))
    over = only_grant(project_passes(rooms, now=10 * DAY))
    assert (over.active, over.entitlements) == (False, {"seats": 3})


def test_a_note_that_was_voided_takes_the_credit_back() -> None:
    void = note(12, lines={"il_price_premium": 2999}, status="void", how={"event": "e2"})
    facts = [*invoiced(), note(9, lines={"il_price_premium": 2999})]

    assert not only_grant(project_facts(facts)).active
    assert only_grant(project_facts(facts, void)).active


def test_a_note_that_was_voided_decides_no_end() -> None:
    back = [charge(), refund("succeeded", 5, event="evt_back")]
    void = note(9, 1000, status="void", out_of_band_amount=1000)

    assert only_grant(project_facts(invoiced(), back, void)).event_id == "evt_back"


def test_a_note_without_lines_is_a_partial_refund_until_the_notes_reach_the_total() -> None:
    part, rest = note(8, 1000), note(9, 1999, stripe_id="cn_2")
    strict = with_policy({"refund_partial": "end"})

    assert only_grant(project_facts(invoiced(), part)).active
    row = only_grant(project_facts(invoiced(), part, catalogue=strict))
    assert row.because == "Purchase pi_1 was credited in part, which ends it by policy."
    full = only_grant(project_facts(invoiced(), part, rest))
    assert full.because == "Purchase pi_1 was credited in full, which ends it by policy."


@pytest.mark.parametrize(("total", "credited", "active"), [(2999, 2998, True), (1, 1, False)])
def test_notes_over_all_of_an_invoice_end_it_although_their_refund_is_unknown(
    total: int, credited: int, *, active: bool
) -> None:
    sold = invoiced(line(amount=total), total=total, amount_paid=total, payment_refs=())[:2]
    some, all_of_it = (note(9, amount, refunds=("re_9",)) for amount in (credited, total))

    assert only_grant(project_facts(sold, some)).active is active
    assert not only_grant(project_facts(sold, all_of_it)).active


def test_an_invoice_of_nothing_is_not_credited_in_full_without_a_note() -> None:
    free = invoiced(total=0, amount_paid=0, payment_refs=())[:2]

    assert only_grant(project_facts(free)).active


def test_a_full_credit_keeps_where_a_full_refund_does() -> None:
    lenient = with_policy({"refund_full": "keep"})

    assert only_grant(project_facts(invoiced(), note(9), catalogue=lenient)).active


def test_a_refund_and_a_credit_to_the_balance_add_up_to_a_full_return() -> None:
    taxed = invoiced(total=3500)
    refunded = [charge(), refund("succeeded", 8, 1000)]
    to_balance = note(9, 1999)
    with_refund = note(9, 1999, refunds=("re_1",))

    assert not only_grant(project_facts(taxed, refunded, to_balance)).active
    unseen = note(9, 1999, refunds=("re_9",))

    assert only_grant(project_facts(taxed, refunded, with_refund)).active
    assert only_grant(project_facts(taxed, refunded, unseen)).active


def test_a_note_takes_off_what_its_refunds_did_not_give_back_and_no_more() -> None:
    almost = [*invoiced(total=3500), charge(), refund("succeeded", 8, 2998)]

    for given_back in (note(9, 1, refunds=("re_9",)), note(9, 2998, refunds=("re_1",))):
        assert only_grant(project_facts(almost, given_back)).active
    assert not only_grant(project_facts(almost, note(9, 2999, refunds=("re_1",)))).active
    outside = note(9, 1500, out_of_band_amount=1500)
    assert only_grant(project_facts(invoiced(total=3500), outside)).active


def test_a_credit_in_the_second_of_the_payment_went_back() -> None:
    assert not only_grant(project_facts(invoiced(total=5000), note(0, 2999))).active


def test_what_was_credited_before_the_payment_is_no_part_of_what_went_back() -> None:
    facts = invoiced(total=5000)
    early = note(-5, 2001)
    back = [charge(), refund("succeeded", 8, 1000)]

    assert only_grant(project_facts(facts, early, back)).active


def test_a_note_on_an_unknown_invoice_or_another_one_changes_nothing() -> None:
    elsewhere = note(9, invoice="in_9", lines={"il_price_premium": 2999})

    assert only_grant(project_facts(invoiced(), elsewhere)).active


@pytest.mark.parametrize(
    ("policy", "active"),
    [
        ({}, True),
        ({"refund_partial": "end"}, False),
        ({"refund_partial": "end", "dispute_lost": "keep"}, True),
    ],
)
def test_a_lost_dispute_over_a_part_is_a_partial_refund(
    policy: dict[str, str], *, active: bool
) -> None:
    facts = [checkout(), charge(), dispute("lost", 9, amount=500)]

    assert only_grant(project_facts(facts, catalogue=with_policy(policy))).active is active


def test_a_refund_and_a_lost_dispute_are_full_together() -> None:
    facts = [checkout(), charge(), refund("succeeded", 5, 2000), dispute("lost", 9, amount=999)]
    kept = with_policy({"dispute_lost": "keep"})

    assert not only_grant(project_facts(facts)).active
    assert only_grant(project_facts(facts, catalogue=kept)).active


def test_a_dispute_in_another_currency_is_over_the_whole_payment() -> None:
    lost = dispute("lost", 9, amount=500)
    other = dispute("lost", 9, amount=500, currency="eur")

    assert only_grant(project_facts(checkout(), charge(), lost)).active
    assert not only_grant(project_facts(checkout(), charge(), other)).active


def test_an_invoice_that_is_paid_stays_so_while_its_payment_is_on_its_way() -> None:
    billed = invoice(subscription=None, payment_refs=("pi_1",), lines=(line(),))
    pending = [customer("usr_1"), billed, intent("processing", 1)]

    assert only_grant(project_facts(pending)).active


def test_a_credit_note_made_before_the_money_came_takes_nothing_however_late_it_is_heard() -> None:
    billed = invoice(
        50, subscription=None, paid_at=at(50), amount_paid=999, total=2999, lines=(line(),)
    )
    before = credit_note(99, total=2000, own_created_at=at(10))
    after = credit_note(99, total=2000, own_created_at=at(60))

    assert only_grant(project_facts(customer("usr_1"), billed, before)).active
    assert not only_grant(project_facts(customer("usr_1"), billed, after)).active


def test_an_invoice_whose_debit_a_bank_returned_grants_nothing_although_it_says_paid() -> None:
    billed = invoice(subscription=None, payment_refs=("pi_1",), lines=(line(),))
    returned = charge(9, status="failed", captured=False, amount_captured=0)

    assert only_grant(project_facts(customer("usr_1"), billed, charge(1))).active
    assert not project_facts(customer("usr_1"), billed, charge(1), returned).purchases


def test_a_paid_invoice_of_an_unknown_sum_stands_by_the_least_that_no_bank_took_back() -> None:
    billed = invoice(subscription=None, payment_refs=("pi_1", "pi_2"), lines=(line(),))
    returned = charge(9, status="failed", captured=False, amount_captured=0)
    facts = [customer("usr_1"), billed, charge(1, amount_captured=2998), returned]

    assert not project_facts(facts).purchases
    rest = intent(stripe_id="pi_2", amount_received=1)
    assert only_grant(project_facts(facts, rest)).active
