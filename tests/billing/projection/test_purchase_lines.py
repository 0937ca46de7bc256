"""Lines are bought one by one: on invoices, in checkouts, and beside a subscription."""

from dataclasses import replace
from typing import Any

import pytest

from billing.facts import CreditedLine, Fact, Line
from billing.rows import Projection
from tests.billing.fact_builders import (
    CATALOGUE,
    DAY,
    at,
    charge,
    checkout,
    credit_note,
    customer,
    intent,
    invoice,
    invoice_payment,
    item,
    line,
    only_grant,
    open_invoice,
    project_facts,
    subscribed,
    subscription,
    summary,
    with_fields,
)


def one_off(*lines: Line, **fields: Any) -> list[Fact]:
    """Return a paid invoice of the customer that bills no subscription."""
    return [customer("usr_1"), invoice(subscription=None, lines=lines, **fields)]


def active(projection: Projection) -> dict[str, set[str]]:
    """Return the plans in force by source."""
    found: dict[str, set[str]] = {}
    for row in projection.entitlements.values():
        if row.active:
            found.setdefault(row.source, set()).add(row.plan_code)
    return found


def test_an_invoice_for_two_plans_buys_both_in_two_rows() -> None:
    bought = one_off(line(invoice_item="ii_1"), line("price_basic", 900, quantity=2))
    projection = project_facts(bought)

    assert active(projection) == {"in_1": {"premium", "basic"}}
    assert {row.key: (row.plan_code, row.quantity) for row in projection.purchases.values()} == {
        ("test", "in_1", "ii_1"): ("premium", 1),
        ("test", "in_1", "il_price_basic"): ("basic", 2),
    }


@pytest.mark.parametrize(
    "no_purchase",
    [
        line(amount=-500),
        line(amount=0),
        line(proration=True),
        line(kind="subscription"),
        line(subscription_item="si_1"),
        line(None),
    ],
)
def test_credits_prorations_and_items_of_a_subscription_buy_nothing(no_purchase: Line) -> None:
    projection = project_facts(one_off(no_purchase))

    assert not projection.purchases
    assert not projection.entitlements
    assert not projection.unknown_prices


def test_a_line_of_the_smallest_amount_is_bought() -> None:
    assert active(project_facts(one_off(line(amount=1)))) == {"in_1": {"premium"}}


def test_metadata_makes_no_purchase_of_an_invoice_that_only_credits() -> None:
    assert not project_facts(one_off(line("price_x", -500), plan_code="basic")).purchases


def test_a_line_in_no_plan_is_a_row_without_a_plan_and_is_named() -> None:
    projection = project_facts(one_off(line("price_x", product="prod_x")))
    (row,) = projection.purchases.values()

    assert (row.plan_code, row.price, row.user_id) == (None, "price_x", "usr_1")
    assert projection.unknown_prices == {"price_x"}


def test_a_line_that_is_sold_for_nothing_on_purpose_is_neither_bought_nor_named() -> None:
    catalogue = replace(CATALOGUE, nothing=frozenset({"price_x"}))
    projection = project_facts(one_off(line("price_x")), catalogue=catalogue)

    assert not projection.purchases
    assert not projection.unknown_prices


def test_the_quantity_of_a_line_counts_seats_and_none_is_one() -> None:
    five = project_facts(one_off(line("price_team", quantity=5)))
    none = project_facts(one_off(line("price_team")))

    assert only_grant(five).entitlements == {"max_devices": 10}
    assert only_grant(none).entitlements == {"max_devices": 2}


def test_the_lines_of_one_plan_make_one_grant_with_all_their_seats() -> None:
    two = (line("price_team", quantity=5), line("price_team", id="il_2", quantity=3))
    projection = project_facts(one_off(*two))

    assert only_grant(projection).entitlements == {"max_devices": 16}
    assert len(projection.purchases) == 2


def test_a_plan_that_metadata_names_has_the_quantity_of_the_only_line() -> None:
    one = one_off(line("price_x", quantity=4), plan_code="team")
    two = one_off(line("price_x", quantity=4), line("price_y", quantity=2), plan_code="team")

    assert only_grant(project_facts(one)).entitlements == {"max_devices": 8}
    assert only_grant(project_facts(two)).entitlements == {"max_devices": 2}


def first_invoice(*lines: Line, **fields: Any) -> list[Fact]:
    """Return ``sub_1`` on plan basic, begun with an invoice of further lines."""
    billed = line("price_basic", kind="subscription", subscription_item="si_1")
    return [
        subscription("active", 0, item("price_basic")),
        invoice(lines=(billed, *lines), payment_refs=("pi_1",), **fields),
        intent(),
    ]


def test_a_one_time_line_on_the_invoice_of_a_subscription_is_a_purchase_of_its_user() -> None:
    projection = project_facts(first_invoice(line()))
    (row,) = projection.purchases.values()

    assert active(projection) == {"sub_1": {"basic"}, "pi_1": {"premium"}}
    assert (row.user_id, row.purchase_ref, row.payment_ref) == ("usr_1", "pi_1", "pi_1")
    assert projection.payments["test", "pi_1"].plan_code == "basic"


def test_what_was_bought_beside_a_subscription_outlives_it() -> None:
    ended = subscription("canceled", 9, item("price_basic"), ended=9)

    assert active(project_facts(first_invoice(line()), ended)) == {"pi_1": {"premium"}}


@pytest.mark.parametrize(
    "part",
    [
        line("price_basic", id="il_fee"),
        line("price_fee", lookup_key="price_basic"),
    ],
)
def test_a_setup_fee_of_a_plan_is_a_part_of_its_subscription(part: Line) -> None:
    projection = project_facts(first_invoice(part))

    assert active(projection) == {"sub_1": {"basic"}}
    assert not projection.purchases
    assert not projection.unknown_prices


def test_on_the_invoice_of_a_subscription_a_product_names_no_plan() -> None:
    overage = line("price_overage", product="prod_premium")
    on_premium = subscription("active", 0, item("price_premium"))
    other = project_facts(first_invoice(overage))
    own = project_facts(on_premium, invoice(lines=(overage,)))

    assert active(other) == {"sub_1": {"basic"}}
    assert other.unknown_prices == {"price_overage"}
    assert not own.purchases
    assert not own.unknown_prices


def test_a_plan_that_only_a_line_of_the_subscription_shows_is_a_part_of_it_too() -> None:
    billed = line("price_basic", kind="subscription")
    fee = line("price_basic", id="il_fee")

    assert not project_facts(invoice(lines=(billed, fee))).purchases


def test_the_setup_fees_of_two_subscriptions_are_parts_of_each_its_own() -> None:
    facts = [
        customer("usr_1"),
        subscription("active", 0, item("price_basic")),
        subscription("active", 0, item("price_premium"), stripe_id="sub_2"),
        invoice(lines=(line("price_basic"),)),
        invoice(stripe_id="in_2", subscription="sub_2", lines=(line(), line("price_basic"))),
    ]
    projection = project_facts(facts)

    assert {row.key: row.plan_code for row in projection.purchases.values()} == {
        ("test", "in_2", "il_price_basic"): "basic"
    }


def test_a_line_that_names_a_subscription_is_judged_like_one_on_its_invoice() -> None:
    on_basic = subscription("active", 0, item("price_basic"))
    pending = line("price_basic", subscription="sub_1")

    assert not project_facts(on_basic, one_off(pending)).purchases
    assert project_facts(on_basic, one_off(line("price_basic"))).purchases


def test_metadata_on_the_invoice_of_a_subscription_or_its_payment_buys_nothing() -> None:
    facts = [
        subscription("active", 0, item("price_basic")),
        invoice(payment_refs=("pi_1",), plan_code="premium", lines=()),
        intent(plan_code="premium"),
    ]

    assert not project_facts(facts).purchases


def test_the_period_of_a_line_ends_what_it_bought_where_no_subscription_is_billed() -> None:
    year = line("price_basic", lasts=365 * DAY)
    running = project_facts(one_off(year), now=364 * DAY)
    over = project_facts(one_off(year), now=366 * DAY)
    (row,) = running.purchases.values()

    assert (only_grant(running).active, only_grant(over).active) == (True, False)
    assert only_grant(running).expires_at == row.ends_at == running.due_at == at(365 * DAY)
    assert only_grant(running).because == "Purchase in_1 is paid and ends on 2027-11-01."
    assert only_grant(over).because == "Purchase in_1 ended on 2027-11-01."


@pytest.mark.parametrize(("lasts", "ends"), [(0, False), (DAY - 1, False), (DAY, True)])
def test_a_period_of_less_than_a_day_ends_nothing(lasts: float, *, ends: bool) -> None:
    (row,) = project_facts(one_off(line(lasts=lasts))).purchases.values()

    assert (row.ends_at is not None) is ends


def test_the_period_of_a_line_beside_a_subscription_ends_nothing() -> None:
    projection = project_facts(first_invoice(line(lasts=30 * DAY)), now=99 * DAY)

    assert "premium" in active(projection)["pi_1"]


def test_lines_of_one_plan_end_one_after_the_other_and_the_grant_with_the_last() -> None:
    short = line("price_team", quantity=5, lasts=10 * DAY)
    long = line("price_team", id="il_2", quantity=3, lasts=20 * DAY)
    early = project_facts(one_off(short, long), now=9 * DAY)
    later = project_facts(one_off(short, long), now=15 * DAY)
    over = project_facts(one_off(short, long), now=25 * DAY)

    assert only_grant(early).entitlements == {"max_devices": 16}
    assert only_grant(early).expires_at == at(20 * DAY)
    assert early.due_at == at(10 * DAY)
    assert only_grant(later).entitlements == {"max_devices": 6}
    assert not only_grant(over).active


def test_the_line_items_of_a_checkout_may_be_free_but_not_those_that_renew() -> None:
    free = line("price_basic", 0)
    session = checkout(lines=(free, line(kind="subscription")), lines_complete=True, price_id=None)

    assert active(project_facts(session)) == {"pi_1": {"basic"}}


def test_line_items_beside_a_subscription_speak_until_its_invoice_is_known() -> None:
    sold = (line("price_basic", kind="subscription"), line(id="li_1"))
    session = subscribed(lines=sold, price_id=None)
    billed = invoice(lines=(line("price_basic", kind="subscription"), line(invoice_item="ii_1")))
    alone = project_facts(session, now=DAY)
    both = project_facts(session, billed, now=DAY)

    assert active(alone) == {"sub_1": {"basic"}, "cs_1": {"premium"}}
    assert active(both)["in_1"] == {"premium"}
    assert [row.key for row in both.purchases.values()] == [("test", "in_1", "ii_1")]
    naming = subscribed(lines=sold, price_id=None, invoice="in_1")
    assert project_facts(naming, billed, now=DAY).purchases.keys() == both.purchases.keys()
    old = subscribed(lines=sold, price_id=None, payment_intent="pi_1")
    linked = project_facts(old, billed, invoice_payment(), intent(), now=DAY)
    assert active(linked)["pi_1"] == {"premium"}
    assert [row.key for row in linked.purchases.values()] == [("test", "pi_1", "ii_1")]


def test_a_line_item_beside_a_subscription_buys_no_plan_by_its_product() -> None:
    sold = (line(kind="subscription"), line("price_fee", product="prod_premium"))
    session = subscribed(lines=sold, price_id=None)
    alone = project_facts(session, now=DAY)

    assert active(alone) == {"sub_1": {"premium"}}
    assert alone.unknown_prices == {"price_fee"}
    assert not project_facts(session, subscription(), now=DAY).purchases


@pytest.mark.parametrize(
    ("named", "ref"),
    [({}, "cs_1"), ({"invoice": "in_1"}, "in_1"), ({"payment_intent": "pi_1"}, "pi_1")],
)
def test_what_a_checkout_sold_beside_a_subscription_goes_by_its_payment_or_invoice(
    named: dict[str, Any], ref: str
) -> None:
    paid = [intent()] if "payment_intent" in named else []
    session = subscribed(lines=(line("price_team", id="li_1"),), **named)
    projection = project_facts(session, paid, now=DAY)
    (row,) = projection.purchases.values()

    assert (row.purchase_ref, row.status, row.user_id) == (ref, "paid", "usr_1")
    assert projection.without_line_items == {"test:cs_1"}


@pytest.mark.parametrize("named", [{"invoice": "in_1"}, {}])
def test_an_invoice_that_is_known_replaces_what_its_checkout_shows(named: dict[str, Any]) -> None:
    session = subscribed(lines=(line(id="li_1"),), price_id="price_basic", **named)
    billed = invoice(lines=(line("price_basic", kind="subscription"),))

    assert not project_facts(session, billed, now=DAY).purchases
    assert project_facts(session, now=DAY).purchases


def test_a_checkout_that_is_not_paid_buys_no_line_beside_its_subscription() -> None:
    session = subscribed(lines=(line(id="li_1"),), payment_status="unpaid")
    (row,) = project_facts(session, now=DAY).purchases.values()

    assert row.status == "pending"


def test_a_checkout_of_unknown_quantity_is_named_until_its_line_items_are_whole() -> None:
    seats = checkout(price_id="price_team")
    whole = checkout(
        0,
        price_id="price_team",
        lines=(line("price_team", quantity=3),),
        lines_complete=True,
        how={"event": "fetched"},
    )
    billed = invoice(subscription=None, lines=(line("price_team"),), payment_refs=("pi_1",))

    assert project_facts(seats).without_line_items == {"test:cs_1"}
    assert project_facts(checkout(price_id=None)).without_line_items == {"test:cs_1"}
    assert not project_facts(seats, whole).without_line_items
    assert not project_facts(seats, billed, intent()).without_line_items
    assert not project_facts(checkout()).without_line_items
    assert not project_facts(
        checkout(price_id="price_team", payment_status="unpaid")
    ).without_line_items


def test_a_checkout_without_its_subscription_knows_no_invoice_of_it() -> None:
    begun = checkout(mode="subscription", payment_intent=None)

    assert project_facts(begun, invoice(subscription=None)).without_line_items == {"test:cs_1"}


def test_a_checkout_that_began_a_subscription_is_named_until_its_lines_are_known() -> None:
    session = subscribed(price_id="price_basic")
    shown = subscription("active", 5, item("price_basic"))
    free = subscribed(price_id="price_basic", payment_status="unpaid")
    whole = subscribed(0, lines=(line("price_basic", kind="subscription"),), lines_complete=True)
    billed = invoice(lines=(line("price_basic", kind="subscription"),))

    assert project_facts(session).without_line_items == {"test:cs_1"}
    assert project_facts(session, shown).without_line_items == {"test:cs_1"}
    assert not project_facts(free, shown).without_line_items
    assert not project_facts(whole, shown).without_line_items
    assert not project_facts(session, shown, billed).without_line_items


def test_what_a_cut_list_of_lines_may_hide_is_named_until_the_whole_list_is_known() -> None:
    cut = invoice(lines=(line(id="il_1"),), lines_complete=False)
    whole = invoice(5, lines=(line(id="il_1"), line("price_team", id="il_2")))
    unpaid = open_invoice(lines=(line(id="il_1"),), lines_complete=False)

    assert project_facts(cut).incomplete_lines == {"test:in_1"}
    assert not project_facts(cut, whole).incomplete_lines
    assert not project_facts(whole, with_fields(cut, amount_paid=7)).incomplete_lines
    assert not project_facts(unpaid).incomplete_lines
    assert not project_facts(invoice(lines=(), lines_complete=False)).incomplete_lines


def test_a_cut_list_of_credited_lines_is_named_while_the_note_stands() -> None:
    credited = CreditedLine(invoice_line="il_1", amount=1, quantity=1)
    cut = credit_note(lines=(credited,), lines_complete=False)
    voided = with_fields(credit_note(5, lines=(credited,), lines_complete=False), status="void")

    assert project_facts(cut).incomplete_lines == {"test:cn_1"}
    assert not project_facts(cut, voided).incomplete_lines
    assert not project_facts(credit_note(lines=(credited,))).incomplete_lines


def test_an_open_invoice_whose_payments_reach_what_is_due_is_paid() -> None:
    billed = open_invoice(subscription=None, payment_refs=("pi_1", "pi_2"), amount_due=2999)
    part = intent(amount_received=1000)
    rest = intent("succeeded", 9, stripe_id="pi_2", amount_received=1999)

    assert not project_facts(customer("usr_1"), billed, part).entitlements
    row = only_grant(project_facts(customer("usr_1"), billed, part, rest))
    assert (row.source, row.active, row.starts_at) == ("in_1", True, at(9))


def test_an_invoice_is_short_of_what_a_bank_took_back_until_it_is_paid_again_or_outside() -> None:
    paid = invoice(subscription=None, amount_due=2999, payment_refs=("pi_1", "pi_2", "pi_3"))
    outside = invoice(
        20, subscription=None, amount_due=2999, paid_out_of_band=True, how={"event": "evt_cash"}
    )
    debit = charge(5, stripe_id="ch_2", payment_intent="pi_2", amount_captured=999)
    returned = charge(9, stripe_id="ch_2", payment_intent="pi_2", amount=999, status="failed")
    again = intent(seconds=15, stripe_id="pi_3", amount_received=999)
    short = [customer("usr_1"), paid, intent(amount_received=2000), debit, returned]

    assert active(project_facts(*short[:-1]))
    assert not active(project_facts(*short))
    assert active(project_facts(*short, again)) == {"in_1": {"premium"}}
    assert active(project_facts(*short, outside)) == {"pi_1": {"premium"}}


def test_a_payment_that_is_paired_by_time_alone_names_no_plan_and_no_reference() -> None:
    billed = invoice(subscription=None, lines=(line("price_x"),))
    paid = intent(plan_code="basic")
    projection = project_facts(customer("usr_1"), billed, paid)

    assert projection.payments["test", "pi_1"].inferred
    assert active(projection) == {"pi_1": {"basic"}}
    assert {row.purchase_ref for row in projection.purchases.values()} == {"in_1", "pi_1"}


@pytest.mark.parametrize("named", [{"invoice": "in_9"}, {"order_reference": "in_9abcdefghijk"}])
def test_a_payment_that_names_an_unknown_invoice_waits_for_it(named: dict[str, Any]) -> None:
    paid = intent(plan_code="basic", **named)
    waiting = project_facts(customer("usr_1"), paid)
    shown = invoice(
        subscription=None, stripe_id="in_9abcdefghijk", lines=(), payment_refs=("pi_1",)
    )

    assert not waiting.purchases
    assert waiting.awaiting_invoice == {"pi_1"}
    if "order_reference" in named:
        found = project_facts(customer("usr_1"), paid, shown)
        assert active(found) == {"pi_1": {"basic"}}
        assert not found.awaiting_invoice


def test_a_payment_that_names_no_plan_waits_for_its_invoice_if_its_customer_has_no_access() -> None:
    renewed = intent(invoice="in_9")

    assert project_facts(renewed).awaiting_invoice == {"pi_1"}
    assert not project_facts(renewed, subscription()).awaiting_invoice
    assert not project_facts(renewed, summary("signals")).awaiting_invoice
    assert not project_facts(intent(plan_code="basic", order_reference="order 7")).awaiting_invoice


def test_a_reference_that_only_begins_like_an_invoice_is_not_waited_for() -> None:
    projection = project_facts(
        customer("usr_1"), intent(plan_code="basic", order_reference="in_7-b")
    )

    assert active(projection) == {"pi_1": {"basic"}}
    assert not projection.awaiting_invoice


@pytest.mark.parametrize("order", [1, -1])
def test_a_payment_of_two_invoices_pays_for_what_each_of_them_sold(order: int) -> None:
    one = invoice(subscription=None, lines=(line(),))
    other = invoice(1, stripe_id="in_2", subscription=None, lines=(line("price_basic"),))
    links = [
        invoice_payment(2),
        invoice_payment(2, stripe_id="inpay_2", invoice="in_2"),
    ]
    facts = [customer("usr_1"), one, other, intent(seconds=2, amount_received=5998), *links]

    projection = project_facts(facts[::order])

    assert active(projection) == {"in_1": {"premium"}, "in_2": {"basic"}}
    assert {row.payment_ref for row in projection.purchases.values()} == {"pi_1"}
    assert projection.payments["test", "pi_1"].plan_code == "basic"


def test_an_invoice_payment_links_what_waits() -> None:
    billed = invoice(subscription=None, lines=(line(),))
    facts = [customer("usr_1"), intent(plan_code="basic"), invoice_payment(), billed]

    assert active(project_facts(facts)) == {"pi_1": {"premium"}}
    assert project_facts(facts[:3]).awaiting_invoice == {"pi_1"}


@pytest.mark.parametrize(
    ("stands", "bought"),
    [
        ([subscription("active", 0)], False),
        ([subscription("past_due", 0)], False),
        ([subscription("active", 0, item("price_basic"))], True),
        ([subscription("active", 0, customer="cus_2")], True),
        ([subscription("active", 0), subscription("canceled", 4, ended=4)], True),
        ([subscription("active", 0), subscription("canceled", 6, ended=6)], False),
        ([subscription("active", 0), subscription("active", 4, item("price_basic"))], True),
        ([subscription("active", 0, item("price_basic")), subscription("active", 6)], True),
        ([subscription("active", 0, item("price_basic")), subscription("active", 5)], False),
        ([subscription("active", 0), subscription("canceled", 8, ended=4)], True),
        ([subscription("active", 0), subscription("canceled", 5, ended=5)], True),
        ([subscription("active", 0), subscription("canceled", 4)], True),
        ([subscription("active", 6)], False),
        ([subscription("active", 6, stated={"started_at": at(6)})], True),
        ([subscription("active", 5, stated={"started_at": at(5)})], False),
        ([subscription("active", 0, stated={"started_at": None})], False),
    ],
)
def test_a_bare_payment_buys_no_plan_for_which_a_subscription_of_its_customer_stands(
    stands: list[Fact], *, bought: bool
) -> None:
    paid = intent("succeeded", 5, plan_code="premium")

    assert bool(project_facts(stands, paid).purchases) is bought


def test_a_credit_note_on_a_charge_without_invoice_changes_nothing() -> None:
    facts = [customer("usr_1"), charge(payment_intent=None, plan_code="basic"), credit_note()]

    assert only_grant(project_facts(facts)).active
