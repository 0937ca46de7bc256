"""One-time purchases: their plans, and the effect of money that goes back."""

from dataclasses import replace
from typing import Any

import pytest

from billing.facts import Fact, Kind
from billing.rows import EntitlementRow, Projection, PurchaseRow, PurchaseStatus
from tests.billing.fact_builders import (
    DAY,
    at,
    charge,
    checkout,
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
    subscription,
    with_policy,
)


def purchase_status(projection: Projection) -> str:
    (row,) = projection.purchases.values()
    return row.status


def purchase_of(projection: Projection, ref: str) -> PurchaseRow:
    (row,) = (row for row in projection.purchases.values() if row.purchase_ref == ref)
    return row


def refs(projection: Projection) -> set[str]:
    return {row.purchase_ref for row in projection.purchases.values()}


def plans(projection: Projection) -> dict[str, bool]:
    return {row.plan_code: row.active for row in projection.entitlements.values()}


def of_source(projection: Projection, source: str) -> EntitlementRow:
    (row,) = (row for row in projection.entitlements.values() if row.source == source)
    return row


def test_a_paid_checkout_grants_for_good() -> None:
    projection = project_facts(checkout(5, how={"event": "evt_paid"}), now=999 * DAY)
    row = only_grant(projection)

    assert row.active
    assert row.expires_at is None
    assert (row.user_id, row.source, row.plan_code) == ("usr_1", "pi_1", "premium")
    assert row.entitlements == {"signals_enabled": True, "max_devices": 5}
    assert (row.event_id, row.starts_at) == ("evt_paid", at(5))
    assert row.because == "Purchase pi_1 is paid."


def test_seats_that_were_bought_add_up_with_those_of_other_sources() -> None:
    row = only_grant(project_facts(checkout(price_id="price_team")))

    assert row.entitlements == {"max_devices": 2}
    assert row.per_seat == ("max_devices",)


def test_a_purchase_row_names_price_plan_and_payment() -> None:
    (row,) = project_facts(checkout()).purchases.values()

    assert (row.purchase_ref, row.user_id, row.plan_code) == ("pi_1", "usr_1", "premium")
    assert (row.price, row.status, row.payment_ref) == ("price_premium", "paid", "pi_1")


def test_an_unpaid_checkout_waits_for_its_money() -> None:
    unpaid = checkout(payment_status="unpaid")
    later = checkout(9, how={"type_": "checkout.session.async_payment_succeeded", "event": "e2"})

    waiting, paid = project_facts(unpaid), project_facts(later, unpaid)

    assert purchase_status(waiting) == PurchaseStatus.PENDING
    assert not waiting.entitlements
    assert not waiting.waiting
    assert purchase_status(paid) == PurchaseStatus.PAID
    assert only_grant(paid).event_id == "e2"
    assert only_grant(paid).starts_at == at(9)


def test_a_payment_that_is_known_decides_before_its_checkout() -> None:
    unpaid = checkout(payment_status="unpaid")
    waiting = project_facts(unpaid, intent("processing", 1))
    received = project_facts(
        unpaid, intent("processing", 1), intent("succeeded", 9, how={"event": "e9"})
    )

    assert (purchase_status(waiting), purchase_status(received)) == ("pending", "paid")
    assert not waiting.entitlements
    assert (only_grant(received).active, only_grant(received).starts_at) == (True, at(9))
    assert only_grant(received).event_id == "e9"


@pytest.mark.parametrize(
    ("attempts", "status"),
    [
        ([intent("canceled", 9)], "failed"),
        ([charge(9, status="failed", captured=False, amount_captured=0)], "failed"),
        ([intent("processing", 9), charge(9, status="failed", captured=False)], "pending"),
    ],
)
def test_a_payment_that_failed_fails_the_purchase_of_its_checkout(
    attempts: list[Fact], status: str
) -> None:
    unpaid = checkout(payment_status="unpaid")

    assert purchase_status(project_facts(unpaid, attempts)) == status


def test_a_failed_checkout_grants_nothing() -> None:
    failed = checkout(
        9, payment_status="unpaid", how={"type_": "checkout.session.async_payment_failed"}
    )
    projection = project_facts(checkout(payment_status="unpaid"), failed)

    assert purchase_status(projection) == PurchaseStatus.FAILED
    assert not projection.entitlements


def test_an_expired_checkout_grants_nothing_and_is_no_payment() -> None:
    expired = checkout(
        9,
        payment_status="unpaid",
        status="expired",
        payment_intent=None,
        how={"type_": "checkout.session.expired"},
    )
    projection = project_facts(expired)

    assert purchase_status(projection) == PurchaseStatus.EXPIRED
    assert not projection.payments
    assert purchase_of(projection, "cs_1").payment_ref is None


def test_paid_is_not_taken_back_by_a_late_older_fact() -> None:
    facts = [checkout(9), checkout(12, payment_status="unpaid")]

    assert purchase_status(project_facts(facts)) == PurchaseStatus.PAID


@pytest.mark.parametrize(
    ("fields", "plan"),
    [
        ({"lines": (line("price_basic", product="prod_x"),)}, "basic"),
        ({"lines": (line("price_x", product="prod_premium"),), "price_id": "x"}, "premium"),
        ({"lines": (line("price_x", lookup_key="price_basic", product="prod_premium"),)}, "basic"),
        ({"lines": (line("price_x"),), "price_id": "price_basic"}, "basic"),
        ({"price_id": "price_basic", "plan_code": "premium"}, "basic"),
        ({"price_id": "price_x", "plan_code": "basic", "payment_link": "plink_premium"}, "basic"),
        ({"price_id": None, "plan_code": "gold", "payment_link": "plink_premium"}, "premium"),
        ({"price_id": None, "plan_code": "basic", "payment_link": "plink_premium"}, "basic"),
        ({"price_id": None, "payment_link": "plink_premium"}, "premium"),
    ],
)
def test_the_first_name_that_a_catalogue_knows_decides_lines_before_all_others(
    fields: dict[str, Any], plan: str
) -> None:
    found = plans(project_facts(checkout(**fields)))

    assert [code for code, active in found.items() if active] == [plan]


@pytest.mark.parametrize(
    ("fields", "unknown"),
    [
        ({"lines": (line("price_x", product="prod_x"),), "price_id": None}, {"price_x"}),
        ({"price_id": "price_x", "plan_code": "platinum"}, {"price_x", "platinum"}),
        ({"price_id": None, "plan_code": "platinum"}, {"platinum"}),
        ({"price_id": None, "payment_link": "plink_x"}, {"plink_x"}),
        ({"price_id": None}, set()),
    ],
)
def test_a_name_in_no_plan_grants_nothing_and_is_named(
    fields: dict[str, Any], unknown: set[str]
) -> None:
    projection = project_facts(checkout(**fields))

    assert not projection.entitlements
    assert projection.unknown_prices == unknown
    assert purchase_status(projection) == PurchaseStatus.PAID


def test_a_name_in_no_plan_beside_lines_is_named_only_where_a_line_is_in_no_plan() -> None:
    sold = project_facts(checkout(lines=(line("price_basic"),), price_id="price_z"))
    both = (line("price_basic"), line("price_x"))
    one_unsold = project_facts(checkout(lines=both, price_id="price_team", plan_code="gold"))

    assert sold.unknown_prices == set()
    assert one_unsold.unknown_prices == {"price_x", "gold"}


def test_an_unpaid_checkout_names_no_unknown_price() -> None:
    assert not project_facts(checkout(price_id="price_x", payment_status="unpaid")).unknown_prices


def test_two_things_in_one_checkout_grant_both_and_name_the_unknown_one() -> None:
    sold = (
        line("price_basic"),
        line("price_x", product="prod_x"),
        line("price_y", product="prod_premium"),
    )
    projection = project_facts(checkout(lines=sold))

    assert plans(projection) == {"basic": True, "premium": True}
    assert projection.unknown_prices == {"price_x"}
    assert {(row.line, row.plan_code, row.price) for row in projection.purchases.values()} == {
        ("il_price_basic", "basic", "price_basic"),
        ("il_price_x", None, "price_x"),
        ("il_price_y", "premium", "price_y"),
    }


def test_the_product_of_a_known_price_grants_nothing_more() -> None:
    sold = (line("price_basic", product="prod_premium"),)

    assert plans(project_facts(checkout(price_id=None, lines=sold))) == {"basic": True}


def test_line_items_that_come_later_correct_the_plan() -> None:
    fetched = checkout(0, lines=(line("price_basic"),), how={"event": "fetched"})

    assert plans(project_facts(checkout(), fetched)) == {"basic": True, "premium": False}
    assert purchase_of(project_facts(checkout(), fetched), "pi_1").plan_code == "basic"


def test_a_checkout_that_names_no_plan_lets_its_payment_name_it() -> None:
    assert plans(project_facts(checkout(price_id=None), intent(plan_code="basic"))) == {
        "basic": True
    }


def test_a_purchase_is_called_by_its_session_until_its_payment_is_known() -> None:
    early = checkout(payment_status="unpaid", payment_intent=None)

    assert refs(project_facts(early)) == {"cs_1"}
    assert refs(project_facts(early, checkout(5))) == {"pi_1"}


def test_a_free_checkout_is_a_purchase_without_payment() -> None:
    projection = project_facts(
        checkout(payment_status="no_payment_required", amount_total=0, payment_intent=None)
    )

    assert only_grant(projection).source == "cs_1"
    assert not projection.payments
    assert purchase_of(projection, "cs_1").payment_ref is None


def test_two_sessions_of_one_payment_are_one_purchase_and_the_paid_one_counts() -> None:
    projection = project_facts(
        checkout(stripe_id="cs_1", payment_status="unpaid", price_id="price_basic"),
        checkout(stripe_id="cs_2"),
    )

    assert plans(projection) == {"premium": True}


def test_a_payment_intent_whose_metadata_names_a_plan_is_a_purchase() -> None:
    projection = project_facts(
        customer("usr_1"), intent(plan_code="basic", how={"event": "evt_pi"})
    )

    assert only_grant(projection).plan_code == "basic"
    assert (only_grant(projection).source, only_grant(projection).event_id) == ("pi_1", "evt_pi")
    assert only_grant(projection).starts_at == at(0)
    assert purchase_status(projection) == PurchaseStatus.PAID
    assert projection.payments["test", "pi_1"].plan_code == "basic"


def test_a_payment_intent_that_was_fetched_grants_from_the_time_of_its_event() -> None:
    paid = intent(seconds=9, price_id="price_premium", user_id="usr_1")
    row = only_grant(project_facts(replace(paid, happened_at=at(5))))

    assert row.starts_at == at(5)


def test_a_payment_intent_is_no_purchase_before_it_succeeds_or_without_a_name() -> None:
    assert not project_facts(customer("usr_1"), intent("processing", plan_code="basic")).purchases
    assert not project_facts(customer("usr_1"), intent()).purchases


@pytest.mark.parametrize(
    ("paid", "price"),
    [(intent(price_id="price_x"), "price_x"), (intent(plan_code="price_x"), None)],
)
def test_a_payment_intent_that_names_what_no_plan_sells_is_named(
    paid: Fact, price: str | None
) -> None:
    projection = project_facts(customer("usr_1"), paid)
    row = purchase_of(projection, "pi_1")

    assert (row.plan_code, row.price, row.user_id) == (None, price, "usr_1")
    assert projection.unknown_prices == {"price_x"}
    assert not projection.entitlements


def test_a_charge_without_an_intent_whose_metadata_names_its_price_is_a_purchase() -> None:
    legacy = charge(3, payment_intent=None, price_id="price_basic", how={"event": "evt_ch"})
    row = only_grant(project_facts(customer("usr_1"), legacy))

    assert (row.source, row.plan_code, row.event_id, row.starts_at) == (
        "ch_1",
        "basic",
        "evt_ch",
        at(3),
    )
    assert not project_facts(customer("usr_1"), charge(3, price_id="price_basic")).purchases
    uncaptured = charge(payment_intent=None, captured=False, amount_captured=0, plan_code="basic")
    assert not project_facts(customer("usr_1"), uncaptured).purchases


def test_the_payment_of_a_subscription_is_no_purchase() -> None:
    projection = project_facts(
        subscription("canceled"), invoice(payment_refs=("pi_1",)), intent(plan_code="basic")
    )

    assert not projection.purchases


def test_a_paid_invoice_whose_lines_name_a_plan_is_a_purchase() -> None:
    projection = project_facts(
        customer("usr_1"), invoice(5, subscription=None, how={"event": "evt_in"})
    )

    assert (only_grant(projection).source, only_grant(projection).event_id) == ("in_1", "evt_in")
    assert only_grant(projection).starts_at == at(5)
    assert purchase_status(projection) == PurchaseStatus.PAID
    assert purchase_of(projection, "in_1").payment_ref == "in_1"
    assert purchase_of(projection, "in_1").price == "price_premium"
    assert projection.payments["test", "in_1"].plan_code == "premium"


def test_what_an_invoice_bought_begins_when_the_invoice_says_it_was_paid() -> None:
    projection = project_facts(customer("usr_1"), invoice(5, subscription=None, paid_at=at(3)))

    assert only_grant(projection).starts_at == at(3)


def test_an_invoice_that_is_paid_in_part_buys_no_plan_yet() -> None:
    billed = open_invoice(subscription=None, payment_refs=("pi_1",), amount_paid=1000)
    projection = project_facts(customer("usr_1"), billed, intent(amount_received=1000))

    assert not projection.entitlements
    assert projection.payments["test", "pi_1"].plan_code is None


def test_a_purchase_by_invoice_goes_by_its_payment() -> None:
    billed = invoice(subscription=None, payment_refs=("pi_1",))
    projection = project_facts(customer("usr_1"), billed, intent())

    assert only_grant(projection).source == "pi_1"
    assert refs(projection) == {"pi_1"}


def test_a_purchase_by_invoice_with_two_payments_goes_by_the_invoice() -> None:
    billed = invoice(subscription=None, payment_refs=("pi_1", "pi_2"))
    two = [
        intent(stripe_id="pi_1", amount_received=1000, plan_code="premium"),
        intent(stripe_id="pi_2", amount_received=1999),
    ]
    projection = project_facts(customer("usr_1"), billed, two)

    assert refs(projection) == {"in_1"}
    assert purchase_of(projection, "in_1").payment_ref == "pi_1"


def test_metadata_of_an_invoice_names_a_plan_only_where_no_line_does() -> None:
    unknown = invoice(subscription=None, plan_code="basic", lines=(line("price_x"),))
    known = invoice(subscription=None, plan_code="basic", lines=(line(),))

    assert plans(project_facts(customer("usr_1"), unknown)) == {"basic": True}
    assert plans(project_facts(customer("usr_1"), known)) == {"premium": True, "basic": False}


def test_an_open_invoice_or_one_without_a_plan_is_no_purchase() -> None:
    assert not project_facts(open_invoice(subscription=None)).purchases
    assert not project_facts(invoice(subscription=None, lines=())).purchases


def test_the_invoice_that_a_checkout_created_is_no_second_purchase() -> None:
    billed = invoice(subscription=None)
    by_session = project_facts(checkout(invoice="in_1"), intent(), billed)
    by_payment = project_facts(checkout(), intent(), billed, invoice_payment())

    assert refs(by_session) == refs(by_payment) == {"pi_1"}
    assert by_session.payments.keys() == by_payment.payments.keys() == {("test", "pi_1")}


def test_a_checkout_paid_by_invoice_only_stands_by_its_invoice() -> None:
    projection = project_facts(checkout(payment_intent=None, invoice="in_1"))

    assert purchase_of(projection, "in_1").payment_ref == "in_1"
    assert only_grant(projection).source == "in_1"


def test_a_checkout_whose_invoice_is_paid_by_an_intent_stands_by_that() -> None:
    projection = project_facts(
        checkout(payment_intent=None, invoice="in_1", how={"customer": None}),
        invoice_payment(),
        intent(),
    )

    assert purchase_of(projection, "pi_1").payment_ref == "pi_1"


def test_a_checkout_without_payment_and_invoice_stands_by_itself() -> None:
    projection = project_facts(checkout(payment_intent=None))

    assert purchase_of(projection, "cs_1").payment_ref == "cs_1"


def test_the_refund_of_a_payment_that_is_paired_by_time_alone_ends_what_its_invoice_sold() -> None:
    facts = [customer("usr_1"), invoice(subscription=None), intent()]

    assert purchase_of(project_facts(facts), "in_1").payment_ref == "pi_1"
    assert not only_grant(project_facts(facts, refund("succeeded", 9))).active


def test_the_invoice_of_a_checkout_sells_by_its_lines_if_it_has_any() -> None:
    session = checkout(lines=(line("price_basic"),), price_id=None, invoice="in_1")
    credited = (line("price_team"), line("price_premium", -500))

    bare = project_facts(session, invoice(subscription=None, lines=()))
    assert plans(bare) == {"basic": True}
    sold = project_facts(session, invoice(subscription=None, lines=credited))
    assert {code for code, active in plans(sold).items() if active} == {"team"}


def test_a_price_that_the_metadata_of_a_checkout_explains_is_not_named_for_its_invoice() -> None:
    session = checkout(price_id="price_basic", payment_intent=None, invoice="in_1")
    billed = invoice(subscription=None, lines=(line("price_x"),))

    assert plans(project_facts(session, billed)) == {"basic": True}
    assert not project_facts(session, billed).unknown_prices
    by_payment = [checkout(price_id="price_basic"), billed, invoice_payment(), intent()]
    assert not project_facts(by_payment).unknown_prices


def test_a_full_refund_ends_a_purchase() -> None:
    back = charge(9, amount_refunded=2999, how={"event": "evt_back"})
    row = only_grant(project_facts(checkout(), charge(), back))

    assert not row.active
    assert (row.event_id, row.expires_at) == ("evt_back", at(9))
    assert row.because == "Purchase pi_1 was refunded in full, which ends it by policy."


def test_a_full_refund_keeps_where_policy_says_so() -> None:
    facts = [checkout(), charge(9, amount_refunded=2999)]

    assert only_grant(project_facts(facts, catalogue=with_policy({"refund_full": "keep"}))).active


def test_a_partial_refund_keeps() -> None:
    assert only_grant(project_facts(checkout(), charge(9, amount_refunded=2998))).active


def test_a_partial_refund_ends_where_policy_says_so() -> None:
    facts = [checkout(), refund(amount=1, seconds=9)]
    row = only_grant(project_facts(facts, catalogue=with_policy({"refund_partial": "end"})))

    assert not row.active
    assert row.because == "Purchase pi_1 was refunded in part, which ends it by policy."


def test_the_newest_refund_that_succeeded_decides() -> None:
    facts = [
        checkout(),
        charge(1),
        refund("succeeded", 5, 1000, stripe_id="re_1", event="evt_1"),
        refund("succeeded", 7, 1999, stripe_id="re_2", event="evt_2"),
        refund("pending", 9, 1, stripe_id="re_3", event="evt_3"),
    ]

    assert only_grant(project_facts(facts)).event_id == "evt_2"


def test_no_refund_ends_nothing_under_the_strictest_policy() -> None:
    strict = with_policy(dict.fromkeys(("refund_full", "refund_partial", "dispute_open"), "end"))

    assert only_grant(project_facts(checkout(), charge(), intent(), catalogue=strict)).active


def test_a_refund_that_failed_restores() -> None:
    facts = [checkout(), refund("succeeded", 5), refund("failed", 9)]

    assert not only_grant(project_facts(facts[:2])).active
    assert only_grant(project_facts(facts)).active


@pytest.mark.parametrize(
    ("status", "active"),
    [
        ("lost", False),
        ("won", True),
        ("needs_response", True),
        ("under_review", True),
        ("appeal_under_review", True),
        ("warning_needs_response", True),
        ("warning_closed", True),
        ("prevented", True),
        ("brand_new", True),
    ],
)
def test_only_a_lost_dispute_ends_a_purchase_by_default(status: str, *, active: bool) -> None:
    assert only_grant(project_facts(checkout(), dispute(status, 9))).active is active


@pytest.mark.parametrize(
    ("status", "active"),
    [
        ("needs_response", False),
        ("appeal_needs_response", False),
        ("brand_new", False),
        ("won", True),
        ("prevented", True),
        ("warning_under_review", True),
    ],
)
def test_an_open_dispute_ends_where_policy_says_so(status: str, *, active: bool) -> None:
    strict = with_policy({"dispute_open": "end"})

    assert (
        only_grant(project_facts(checkout(), dispute(status, 9), catalogue=strict)).active is active
    )


def test_a_lost_dispute_says_why_and_when() -> None:
    row = only_grant(
        project_facts(checkout(), dispute("needs_response", 5), dispute("lost", 9, event="evt_l"))
    )

    assert (row.event_id, row.expires_at) == ("evt_l", at(9))
    assert row.because == "Dispute dp_1 of purchase pi_1 was lost, which ends it by policy."


def test_an_open_dispute_that_ends_says_so() -> None:
    facts = [checkout(), dispute("needs_response", 5)]
    row = only_grant(project_facts(facts, catalogue=with_policy({"dispute_open": "end"})))

    assert row.because == "Dispute dp_1 of purchase pi_1 is open, which ends it by policy."


def test_a_lost_dispute_keeps_where_policy_says_so() -> None:
    facts = [checkout(), dispute("lost", 5)]

    assert only_grant(project_facts(facts, catalogue=with_policy({"dispute_lost": "keep"}))).active


def test_a_dispute_won_after_all_restores_and_decides() -> None:
    row = only_grant(
        project_facts(checkout(), dispute("lost", 5), dispute("won", 9, event="evt_w"))
    )

    assert row.active
    assert row.event_id == "evt_w"


def test_any_lost_dispute_counts_however_a_newer_one_stands() -> None:
    facts = [
        checkout(),
        dispute("lost", 20, stripe_id="dp_1", opened=1),
        dispute("won", 10, stripe_id="dp_2", opened=9),
    ]

    assert not only_grant(project_facts(facts)).active
    assert project_facts(facts).payments["test", "pi_1"].dispute_status == "won"


APPEALED = ["needs_response", "lost", "appeal_needs_response", "appeal_under_review"]


@pytest.mark.parametrize(
    ("statuses", "active"),
    [
        (APPEALED[:1], True),
        (APPEALED[:2], False),
        (APPEALED[:3], True),
        (APPEALED, True),
        ([*APPEALED, "won"], True),
        ([*APPEALED, "lost"], False),
    ],
)
def test_a_loss_that_is_appealed_is_open_again(statuses: list[str], *, active: bool) -> None:
    facts = [checkout(), *(dispute(word, number) for number, word in enumerate(statuses))]

    assert only_grant(project_facts(facts)).active is active
    assert project_facts(facts).payments["test", "pi_1"].dispute_status == statuses[-1]


def test_several_disputes_of_a_purchase_end_it_while_one_is_lost() -> None:
    first = dispute("lost", 5, stripe_id="dp_1", opened=1)
    second = dispute("lost", 6, stripe_id="dp_2", opened=2)
    reversed_ = [dispute("won", 7, stripe_id=name, opened=0) for name in ("dp_1", "dp_2")]

    assert not only_grant(project_facts(checkout(), first, second)).active
    assert not only_grant(project_facts(checkout(), first, second, reversed_[0])).active
    assert only_grant(project_facts(checkout(), first, second, reversed_)).active


def test_of_two_causes_the_newest_decides() -> None:
    facts = [checkout(), charge(5, amount_refunded=2999), dispute("lost", 9, event="evt_l")]

    assert only_grant(project_facts(facts)).event_id == "evt_l"


def test_a_dispute_known_by_its_charge_only_reaches_the_purchase() -> None:
    facts = [checkout(), charge(), dispute("lost", 9, payment_intent=None)]

    assert not only_grant(project_facts(facts)).active


def test_money_going_back_on_a_subscription_leaves_its_status_to_decide() -> None:
    facts = [
        subscription(),
        invoice(payment_refs=("pi_1",)),
        charge(amount_refunded=2999),
        dispute("lost", 9),
    ]

    assert of_source(project_facts(facts), "sub_1").active


def test_two_checkouts_of_two_payments_are_two_purchases() -> None:
    projection = project_facts(
        checkout(1, stripe_id="cs_1", payment_intent="pi_1"),
        checkout(2, stripe_id="cs_2", payment_intent="pi_2", price_id="price_basic"),
    )

    assert refs(projection) == {"pi_1", "pi_2"}
    assert plans(projection) == {"premium": True, "basic": True}


def test_a_checkout_decides_for_its_payment_regardless_of_the_plan_that_the_payment_names() -> None:
    session = checkout(price_id="price_basic")
    projection = project_facts(session, intent(plan_code="premium", user_id="usr_9"))

    assert purchase_of(projection, "pi_1").user_id == "usr_1"
    assert purchase_of(projection, "pi_1").plan_code == "basic"
    assert {row.plan_code for row in projection.entitlements.values() if row.active} == {"basic"}


def test_the_lines_of_the_invoice_that_a_checkout_made_speak_for_it() -> None:
    sold = (line("price_basic"), line("price_team", id="li_team"))
    session = checkout(lines=sold, price_id=None)
    billed = invoice(subscription=None, user_id="usr_9", lines=(line("price_basic"),))
    projection = project_facts(session, intent(), billed, invoice_payment())

    assert purchase_of(projection, "pi_1").user_id == "usr_1"
    assert plans(project_facts(session)) == {"basic": True, "team": True}
    assert {row.plan_code for row in projection.entitlements.values() if row.active} == {"basic"}


def test_a_price_in_the_metadata_of_an_intent_or_an_invoice_names_the_plan() -> None:
    billed = invoice(subscription=None, price_id="price_basic", lines=())

    assert plans(project_facts(customer("usr_1"), intent(price_id="price_basic"))) == {
        "basic": True
    }
    assert plans(project_facts(customer("usr_1"), billed)) == {"basic": True}


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"price_id": "price_basic"}, {"plan_code": "premium"}),
        ({"plan_code": "basic"}, {"payment_link": "plink_premium"}),
        ({"price_id": "price_basic"}, {"payment_link": "plink_premium"}),
    ],
)
def test_a_more_trusted_reference_beats_a_newer_one(
    older: dict[str, Any], newer: dict[str, Any]
) -> None:
    nothing = {"price_id": None}
    facts = [checkout(0, **(nothing | older)), checkout(5, **(nothing | newer))]

    assert plans(project_facts(facts)) == {"basic": True, "premium": False}


def test_a_plan_it_turned_out_not_to_be_shows_one_seat() -> None:
    fetched = checkout(0, lines=(line("price_basic"),), how={"event": "fetched"})
    rows = project_facts(checkout(price_id="price_team"), fetched).entitlements.values()

    (team,) = (row for row in rows if row.plan_code == "team")
    assert team.entitlements == {"max_devices": 2}


def test_two_invoices_and_two_payments_are_as_many_purchases() -> None:
    invoices = [invoice(subscription=None, stripe_id=f"in_{number}") for number in (1, 2)]
    payments = [intent(stripe_id=f"pi_{number}", plan_code="basic") for number in (1, 2)]

    assert refs(project_facts(invoices)) == {"in_1", "in_2"}
    assert refs(project_facts(payments)) == {"pi_1", "pi_2"}


def test_a_payment_that_brought_nothing_hides_no_purchase() -> None:
    failed = intent("requires_payment_method", plan_code="basic")
    paid = charge(payment_intent=None, plan_code="basic")

    assert refs(project_facts(failed, paid)) == {"ch_1"}


def test_what_no_line_shows_is_bought_under_no_line() -> None:
    unnamed = line("price_x", id=None)
    several = (line("price_x"), line("price_y"))

    for bought in (
        checkout(price_id=None),
        checkout(lines=(unnamed,), price_id=None),
        checkout(lines=several),
        checkout(price_id="price_z"),
        intent(price_id="price_x", plan_code="platinum"),
    ):
        (row,) = project_facts(customer("usr_1"), bought).purchases.values()
        assert row.line == ""


def test_of_two_names_in_no_plan_the_first_is_shown() -> None:
    projection = project_facts(intent(price_id="price_x", plan_code="platinum"))

    assert purchase_of(projection, "pi_1").price == "price_x"


def test_a_line_whose_plan_metadata_names_has_the_price_of_the_metadata() -> None:
    projection = project_facts(checkout(lines=(line("price_x"),), price_id="price_basic"))

    assert purchase_of(projection, "pi_1").price == "price_basic"
    assert purchase_of(projection, "pi_1").line == "il_price_x"


def test_the_plan_it_turned_out_not_to_be_says_so() -> None:
    fetched = checkout(0, lines=(line("price_basic"),), how={"event": "fetched"})
    rows = project_facts(checkout(), fetched).entitlements.values()

    assert {row.plan_code: row.because for row in rows} == {
        "premium": "Purchase pi_1 turned out to be of another plan.",
        "basic": "Purchase pi_1 is paid.",
    }


def test_a_one_time_purchase_is_one_seat() -> None:
    assert only_grant(project_facts(checkout(price_id="price_team"))).entitlements == {
        "max_devices": 2
    }


@pytest.mark.parametrize("bought", [intent(plan_code="basic"), invoice(subscription=None)])
def test_a_dispute_that_was_won_decides_after_any_way_of_buying(bought: Fact) -> None:
    won = dispute("won", 9, event="evt_won")
    paid = [] if bought.kind is Kind.PAYMENT_INTENT else [invoice_payment(), intent()]

    row = only_grant(project_facts(customer("usr_1"), bought, paid, charge(), won))

    assert (row.active, row.event_id) == (True, "evt_won")


def test_of_two_refunds_in_one_second_the_lower_event_id_decides() -> None:
    facts = [
        checkout(),
        refund("succeeded", 5, 1000, stripe_id="re_1", event="evt_b"),
        refund("succeeded", 5, 1999, stripe_id="re_2", event="evt_a"),
    ]

    assert only_grant(project_facts(facts)).event_id == "evt_a"


def test_the_smallest_purchase_ends_with_its_refund_or_dispute_too() -> None:
    facts = [checkout(amount_total=1), charge(5, amount_captured=1, amount_refunded=1)]
    disputed = [
        checkout(amount_total=1),
        charge(5, amount_captured=1),
        dispute("lost", 9, amount=1),
    ]

    assert not only_grant(project_facts(facts)).active
    assert not only_grant(project_facts(disputed)).active


def test_a_free_purchase_is_not_ended_by_a_refund() -> None:
    free = checkout(payment_status="no_payment_required", amount_total=0)

    assert only_grant(project_facts(free, refund("succeeded", 5, 1000))).active
    assert only_grant(project_facts(free, dispute("lost", 5))).active


def test_a_refund_ends_a_purchase_also_beside_an_attempt_that_was_released() -> None:
    released = charge(1, stripe_id="ch_0", captured=False, amount_captured=0)

    assert not only_grant(
        project_facts(checkout(), released, charge(), refund("succeeded", 5))
    ).active


def test_an_invoice_that_was_covered_adds_nothing_to_what_a_refund_must_reach() -> None:
    facts = [checkout(invoice="in_1"), intent(), charge(9, amount_refunded=2999)]

    assert not only_grant(project_facts(facts)).active


def test_the_refund_of_one_of_two_payments_is_no_full_refund() -> None:
    billed = invoice(subscription=None, payment_refs=("pi_1",))
    first = intent(amount_received=1000)
    back = charge(9, amount_captured=1000, amount_refunded=1000)

    row = only_grant(project_facts(customer("usr_1"), billed, first, back))

    assert row.active
