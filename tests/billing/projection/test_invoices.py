"""An invoice is money only as far as no linked payment covers what was paid on it."""

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.facts import Fact, Kind
from tests.billing.fact_builders import (
    DAY,
    amounts,
    at,
    charge,
    checkout,
    credit_note,
    customer,
    intent,
    invoice,
    invoice_payment,
    only_payment,
    open_invoice,
    project_facts,
    subscribed,
    subscription,
    with_fields,
)

ELSEWHERE = {"customer": "cus_2"}


def inferred(*facts: Fact | Iterable[Fact]) -> dict[str, str | None]:
    rows = project_facts(*facts).payments.values()
    return {row.payment_ref: row.invoice_id for row in rows if row.inferred}


def test_a_paid_invoice_alone_is_a_provisional_payment() -> None:
    row = only_payment(project_facts(customer("usr_1"), invoice(5)))

    assert (row.payment_ref, row.amount_minor, row.status) == ("in_1", 2999, "succeeded")
    assert (row.provisional, row.inferred, row.invoice_id) == (True, False, "in_1")
    assert (row.user_id, row.stripe_customer_id) == ("usr_1", "cus_1")
    assert (row.plan_code, row.occurred_at) == ("premium", at(5))


def test_an_invoice_says_itself_when_it_was_paid() -> None:
    assert only_payment(project_facts(invoice(5, paid_at=at(3)))).occurred_at == at(3)


def test_a_paid_invoice_of_nothing_is_no_payment() -> None:
    assert not project_facts(invoice(amount_paid=0)).payments


def test_an_invoice_that_is_paid_in_part_is_money_in_part() -> None:
    assert amounts(project_facts(invoice(status="open", amount_paid=1000))) == {"in_1": (1000, 0)}


def test_a_late_snapshot_of_its_open_days_does_not_open_an_invoice_again() -> None:
    assert amounts(project_facts(invoice(5), open_invoice(9))) == {"in_1": (2999, 0)}


def test_an_invoice_that_was_given_up_may_be_paid_yet() -> None:
    facts = [open_invoice(1), open_invoice(5, status="uncollectible"), invoice(9)]

    assert not project_facts(facts[:2]).payments
    assert amounts(project_facts(facts)) == {"in_1": (2999, 0)}


def test_an_invoice_lowered_to_nothing_by_a_credit_note_is_no_payment() -> None:
    facts = [open_invoice(1), invoice(5, amount_paid=0)]

    assert not project_facts(facts).payments


@pytest.mark.parametrize(
    "linked",
    [
        [invoice(payment_refs=("pi_1",)), intent(seconds=999)],
        [invoice(payment_refs=("ch_1",)), intent(seconds=999), charge(999)],
        [invoice(), invoice_payment(), intent(seconds=999)],
        [invoice(), intent(seconds=999, invoice="in_1")],
        [invoice(), charge(999, invoice="in_1")],
        [invoice(), checkout(999, invoice="in_1")],
    ],
)
def test_a_link_by_any_object_covers_the_invoice(linked: list[Fact]) -> None:
    row = only_payment(project_facts(linked))

    assert (row.payment_ref, row.amount_minor, row.invoice_id) == ("pi_1", 2999, "in_1")
    assert (row.inferred, row.provisional) == (False, False)


def test_a_cut_off_reference_links_where_it_can_mean_one_invoice_only() -> None:
    billed = invoice(stripe_id="in_1NabcdefghXYZ")
    paid = intent(seconds=999, order_reference="in_1Nabcdefgh")
    other = invoice(0, stripe_id="in_1NabcdefghABC", subscription="sub_2")

    assert amounts(project_facts(billed, paid)) == {"pi_1": (2999, 0)}
    assert len(amounts(project_facts(billed, other, paid))) == 3


@pytest.mark.parametrize("reference", ["in_1Nab", "order 17 of the shop", "in_1Nzzzzzzzz"])
def test_a_reference_that_is_short_or_of_something_else_links_nothing(reference: str) -> None:
    billed = invoice(stripe_id="in_1NabcdefghXYZ")
    paid = intent(seconds=999, order_reference=reference)

    assert len(amounts(project_facts(billed, paid))) == 2


FULL, CUT_OFF = "in_1NabcdefghXYZ", "in_1Nabcdefgh"


@pytest.mark.parametrize(
    "naming",
    [
        checkout(invoice=FULL, payment_intent=None, payment_status="unpaid"),
        invoice_payment(invoice=FULL, paid_by=None),
        intent("canceled", invoice=FULL, stripe_id="pi_0"),
        charge(invoice=FULL, payment_intent="pi_0", status="failed", captured=False),
        credit_note(invoice=FULL),
    ],
)
def test_a_reference_is_completed_from_any_invoice_that_anything_names(naming: Fact) -> None:
    paid = intent(seconds=999, order_reference=CUT_OFF)

    rows = project_facts(naming, paid).payments

    assert rows["test", "pi_1"].invoice_id == FULL
    assert rows["test", "pi_1"].inferred is False


def test_a_payment_is_of_the_subscription_that_names_its_invoice_as_the_latest() -> None:
    billed = with_fields(subscription(), latest_invoice=FULL)
    later = subscription(seconds=9)

    for paid in (
        intent(seconds=999, order_reference=CUT_OFF),
        charge(999, order_reference=CUT_OFF, payment_intent=None),
    ):
        row = only_payment(project_facts(billed, later, paid))
        assert (row.invoice_id, row.plan_code, row.user_id) == (FULL, "premium", "usr_1")


def test_of_two_subscriptions_that_name_one_invoice_the_lower_id_is_billed() -> None:
    both = [
        with_fields(subscription(user=f"usr_{one}", stripe_id=f"sub_{one}"), latest_invoice=FULL)
        for one in (1, 2)
    ]
    paid = intent(seconds=999, invoice=FULL)

    for order in (both, both[::-1]):
        assert only_payment(project_facts(order, paid)).user_id == "usr_1"


def test_a_payment_that_refers_to_another_invoice_is_not_paired() -> None:
    assert not inferred(invoice(0), intent(order_reference="in_2Nabcdefgh"))
    both = [invoice(0, stripe_id=f"{CUT_OFF}{last}", subscription=None) for last in "AB"]
    assert inferred(both, invoice(0), intent(order_reference=CUT_OFF)) == {"pi_1": f"{CUT_OFF}A"}


def test_a_payment_with_a_reference_of_the_application_is_paired() -> None:
    own = intent(order_reference="order 17 of the shop")

    assert inferred(invoice(0), own) == {"pi_1": "in_1"}


def test_an_invoice_paid_outside_stripe_is_not_paired() -> None:
    assert not inferred(invoice(0, paid_out_of_band=True), intent())


def test_an_invoice_paid_outside_after_its_debit_came_back_is_money_of_its_own() -> None:
    debit, returned = charge(5), charge(9, status="failed")
    linked = invoice(5, payment_refs=("pi_1",))
    outside = invoice(20, paid_out_of_band=True, how={"event": "evt_cash"})

    assert amounts(project_facts(linked, debit, returned)) == {"pi_1": (0, 0)}
    assert amounts(project_facts(linked, debit, returned, outside)) == {
        "pi_1": (0, 0),
        "in_1": (2999, 0),
    }


def test_an_invoice_paid_by_a_delayed_method_is_paired_by_the_second_of_success() -> None:
    """Expect a charge that was made days before the money came."""
    debit = charge(4 * DAY, own_created_at=at(0))
    bill = invoice(4 * DAY, paid_at=at(4 * DAY))

    assert inferred(bill, debit, intent(seconds=4 * DAY)) == {"pi_1": "in_1"}
    assert only_payment(project_facts(bill, debit, intent(seconds=4 * DAY))).occurred_at == at(0)
    assert not inferred(bill, debit)
    heard = charge(4 * DAY, own_created_at=at(0), how={"type_": "charge.succeeded"})
    assert inferred(bill, heard) == {"pi_1": "in_1"}
    assert only_payment(project_facts(bill, heard)).occurred_at == at(0)


def test_a_charge_that_only_its_intent_names_is_of_that_intent() -> None:
    facts = [invoice(payment_refs=("ch_1",)), intent(seconds=999, latest_charge="ch_1")]

    assert amounts(project_facts(facts)) == {"pi_1": (2999, 0)}


def test_a_part_of_an_invoice_is_paid_in_the_second_that_its_payment_states() -> None:
    part = with_fields(invoice_payment(9), paid_at=at(5))

    assert only_payment(project_facts(part)).occurred_at == at(5)


def test_only_the_part_that_no_payment_covers_stays_with_the_invoice() -> None:
    billed = invoice(payment_refs=("pi_1", "pi_2"))
    first = intent(stripe_id="pi_1", amount_received=1000)
    second = intent(stripe_id="pi_2", amount_received=1999)

    assert amounts(project_facts(billed, first)) == {"pi_1": (1000, 0), "in_1": (1999, 0)}
    assert amounts(project_facts(billed, first, second)) == {"pi_1": (1000, 0), "pi_2": (1999, 0)}


PARTS = st.lists(st.integers(1, 5000), min_size=1, max_size=5)
RANDOMS = st.randoms(use_true_random=False)


@given(PARTS, RANDOMS)
def test_an_invoice_paid_by_several_intents_stays_several_payments(
    parts: list[int], chance: Random
) -> None:
    """Count no more than was paid at any moment, for every subset of links and payments."""
    refs = [f"pi_{number}" for number in range(len(parts))]
    facts = [invoice(amount_paid=sum(parts))]
    for ref, part in zip(refs, parts, strict=True):
        facts += _linked(ref, part, chance.choice(["share", "bill", "charge"]))
    chance.shuffle(facts)

    for known in range(1, len(facts) + 1):
        links = [fact for fact in facts if fact.kind is not Kind.PAYMENT_INTENT]
        rows = amounts(project_facts(links, facts[:known]))
        assert sum(amount for amount, _ in rows.values()) == sum(parts)

    assert amounts(project_facts(facts)) == {
        ref: (part, 0) for ref, part in zip(refs, parts, strict=True)
    }


def _linked(ref: str, part: int, way: str) -> list[Fact]:
    paid = intent(seconds=999, stripe_id=ref, amount_received=part)
    if way == "share":
        return [paid, invoice_payment(999, part, stripe_id=f"inpay_{ref}", paid_by=ref)]
    if way == "bill":
        return [paid, open_invoice(-1, payment_refs=(ref,), how={"event": f"evt_{ref}"})]
    taken = {"payment_intent": ref, "invoice": "in_1", "amount_captured": part}
    return [paid, charge(999, stripe_id=f"ch_{ref}", **taken)]


@given(st.integers(1, 5), RANDOMS)
def test_an_invoice_whose_link_never_comes_is_not_counted_twice(count: int, chance: Random) -> None:
    """Match a customer's invoices of one amount, each paid within the minute."""
    facts = []
    for number in range(count):
        paid_at = number * 200 + chance.randint(0, 60)
        facts += [
            invoice(number * 200, stripe_id=f"in_{number}"),
            intent(seconds=paid_at, stripe_id=f"pi_{number}"),
        ]
    chance.shuffle(facts)

    assert amounts(project_facts(facts)) == {f"pi_{number}": (2999, 0) for number in range(count)}
    assert inferred(facts) == {f"pi_{number}": f"in_{number}" for number in range(count)}


def test_a_payment_of_two_invoices_covers_each_by_its_invoice_payment() -> None:
    facts = [
        invoice(stripe_id="in_1", amount_paid=1000),
        invoice(stripe_id="in_2", amount_paid=2999),
        invoice_payment(0, 1000, stripe_id="inpay_1", invoice="in_1"),
        invoice_payment(0, 1999, stripe_id="inpay_2", invoice="in_2"),
        intent(),
    ]

    assert amounts(project_facts(facts)) == {"pi_1": (2999, 0), "in_2": (1000, 0)}
    assert project_facts(facts).payments["test", "pi_1"].invoice_id == "in_1"


def test_a_payment_that_failed_covers_nothing() -> None:
    billed = invoice(payment_refs=("pi_1",))

    assert amounts(project_facts(billed, intent("canceled"))) == {"pi_1": (0, 0), "in_1": (2999, 0)}


def test_a_canceled_invoice_payment_is_no_link() -> None:
    assert amounts(
        project_facts(invoice(), invoice_payment(status="canceled"), intent(seconds=999))
    ) == {
        "pi_1": (2999, 0),
        "in_1": (2999, 0),
    }


def test_a_invoice_payment_stands_for_a_payment_that_has_not_come() -> None:
    assert amounts(project_facts(invoice(), invoice_payment(5))) == {"pi_1": (2999, 0)}
    assert only_payment(project_facts(invoice(), invoice_payment(5))).occurred_at == at(5)


def test_without_a_link_an_invoice_and_a_payment_of_one_minute_are_matched() -> None:
    facts = [customer("usr_1"), invoice(0), intent(seconds=60)]

    assert inferred(facts) == {"pi_1": "in_1"}
    assert amounts(project_facts(facts)) == {"pi_1": (2999, 0)}


def test_an_inferred_pair_names_neither_plan_nor_user() -> None:
    first = customer("usr_first", -9)
    facts = [first, subscription(), invoice(0), intent(seconds=60)]

    row = only_payment(project_facts(facts))

    assert (row.inferred, row.invoice_id, row.plan_code) == (True, "in_1", None)
    assert row.user_id == "usr_first"
    linked = only_payment(project_facts(facts, invoice_payment(70)))
    assert (linked.inferred, linked.plan_code, linked.user_id) == (False, "premium", "usr_1")


@pytest.mark.parametrize(
    "other",
    [
        intent(seconds=61),
        intent(amount_received=2998),
        intent(currency="eur"),
        intent(how=ELSEWHERE),
        intent("processing"),
    ],
)
def test_a_payment_that_differs_is_not_paired(other: Fact) -> None:
    assert not inferred(invoice(0), other)


def test_an_invoice_without_a_customer_is_not_matched() -> None:
    assert not inferred(invoice(how={"customer": None}), intent(how={"customer": None}))


def test_a_payment_with_a_link_is_not_paired_with_another_invoice() -> None:
    assert not inferred(invoice(0), intent(invoice="in_2"))
    assert not inferred(invoice(0, subscription=None), intent(invoice="in_2"))


def test_pairing_is_one_to_one_and_the_nearest_pair_goes_first() -> None:
    bills = [invoice(0, stripe_id="in_1"), invoice(30, stripe_id="in_2", subscription="sub_2")]
    paid = [intent(seconds=25, stripe_id="pi_1"), intent(seconds=50, stripe_id="pi_2")]

    assert inferred(bills, paid) == {"pi_1": "in_2", "pi_2": "in_1"}
    assert inferred(reversed(bills), reversed(paid)) == {"pi_1": "in_2", "pi_2": "in_1"}


def test_of_equally_near_pairs_the_lower_ids_go_first() -> None:
    bills = [invoice(9, stripe_id="in_2", subscription="sub_2"), invoice(9, stripe_id="in_1")]
    paid = [intent(seconds=19, stripe_id="pi_2"), intent(seconds=-1, stripe_id="pi_1")]

    assert inferred(bills, paid) == {"pi_1": "in_1", "pi_2": "in_2"}


def test_one_payment_is_matched_with_one_invoice_only() -> None:
    bills = [invoice(0, stripe_id="in_1"), invoice(0, stripe_id="in_2", subscription="sub_2")]

    assert inferred(bills, intent()) == {"pi_1": "in_1"}
    assert amounts(project_facts(bills, intent())) == {"pi_1": (2999, 0), "in_2": (2999, 0)}


def test_the_payment_of_a_checkout_is_the_second_choice() -> None:
    facts = [
        invoice(0),
        checkout(payment_intent="pi_1"),
        intent(stripe_id="pi_1"),
        intent(stripe_id="pi_2"),
    ]

    assert inferred(facts) == {"pi_2": "in_1"}
    assert inferred(facts[:3]) == {"pi_1": "in_1"}


def test_a_link_that_comes_later_takes_the_place_of_a_guess() -> None:
    facts = [
        invoice(0),
        intent(stripe_id="pi_1"),
        intent(stripe_id="pi_2"),
        invoice_payment(paid_by="pi_2"),
    ]

    assert inferred(facts[:3]) == {"pi_1": "in_1"}
    assert not inferred(facts)
    assert project_facts(facts).payments["test", "pi_2"].invoice_id == "in_1"


def test_a_paid_checkout_without_intent_stands_for_the_invoice_it_names() -> None:
    row = only_payment(project_facts(subscribed(5, invoice="in_1")))

    assert (row.payment_ref, row.amount_minor, row.invoice_id) == ("in_1", 2999, "in_1")
    assert (row.provisional, row.user_id, row.plan_code) == (True, "usr_1", "premium")


def test_the_invoice_itself_knows_better_what_was_paid_of_it() -> None:
    session = subscribed(5, invoice="in_1")

    assert amounts(project_facts(session, open_invoice())) == {"in_1": (2999, 0)}
    assert amounts(project_facts(session, invoice(amount_paid=2000))) == {"in_1": (2000, 0)}


def test_the_paid_one_of_two_checkouts_stands_for_their_invoice() -> None:
    sessions = [
        subscribed(5, stripe_id="cs_1", invoice="in_1", amount_total=1000),
        subscribed(5, stripe_id="cs_2", invoice="in_1", payment_status="unpaid"),
    ]

    assert (
        amounts(project_facts(sessions))
        == amounts(project_facts(reversed(sessions)))
        == {"in_1": (1000, 0)}
    )


def test_a_paid_checkout_without_intent_and_invoice_stands_for_itself() -> None:
    row = only_payment(project_facts(subscribed(5)))

    assert (row.payment_ref, row.amount_minor, row.invoice_id) == ("cs_1", 2999, None)
    assert (row.provisional, row.stripe_customer_id) == (True, "cus_1")


@pytest.mark.parametrize(
    "billed",
    [
        [invoice(3)],
        [invoice(999, how={"customer": None})],
        [open_invoice(payment_refs=("pi_1",)), intent(seconds=999)],
    ],
)
def test_the_first_invoice_of_a_subscription_covers_the_checkout_that_began_it(
    billed: list[Fact],
) -> None:
    rows = amounts(project_facts(subscribed(5), billed))

    assert "cs_1" not in rows
    assert sum(amount for amount, _ in rows.values()) == 2999


def test_a_first_invoice_of_which_nothing_was_paid_covers_no_checkout() -> None:
    assert amounts(project_facts(subscribed(5), open_invoice(9))) == {"cs_1": (2999, 0)}


def test_an_invoice_in_two_payments_covers_the_checkout_too() -> None:
    billed = open_invoice(payment_refs=("pi_1", "pi_2"))
    paid = [
        intent(seconds=999, stripe_id="pi_1", amount_received=1000),
        intent(seconds=999, stripe_id="pi_2", amount_received=1999),
    ]

    assert amounts(project_facts(subscribed(5), billed, paid)) == {
        "pi_1": (1000, 0),
        "pi_2": (1999, 0),
    }


def test_a_later_invoice_of_the_subscription_is_other_money() -> None:
    assert amounts(project_facts(subscribed(5), invoice(30 * DAY), now=40 * DAY)) == {
        "cs_1": (2999, 0),
        "in_1": (2999, 0),
    }


def test_a_checkout_that_stands_for_itself_is_matched_with_its_payment() -> None:
    for invoice_id in (None, "in_1"):
        projection = project_facts(subscribed(5), intent(seconds=9, invoice=invoice_id))
        row = only_payment(projection)

        assert (row.payment_ref, row.inferred, row.plan_code) == ("pi_1", True, None)
        assert (row.user_id, row.invoice_id) == ("usr_1", invoice_id)


def test_a_payment_of_a_known_other_invoice_is_not_a_checkouts() -> None:
    facts = [
        subscribed(5),
        invoice(5, subscription="sub_2", payment_refs=("pi_1",)),
        intent(seconds=9),
    ]

    assert amounts(project_facts(facts)) == {"cs_1": (2999, 0), "pi_1": (2999, 0)}


def test_an_invoice_comes_before_a_checkout_when_payments_are_matched() -> None:
    facts = [subscribed(5), invoice(5, subscription="sub_2"), intent(seconds=9), subscription()]

    assert inferred(facts) == {"pi_1": "in_1"}
    assert amounts(project_facts(facts)) == {"cs_1": (2999, 0), "pi_1": (2999, 0)}


def test_the_smallest_invoice_is_money_when_it_is_paid_in_part() -> None:
    assert amounts(project_facts(invoice(status="open", amount_paid=1))) == {"in_1": (1, 0)}


def test_an_open_invoice_payment_is_a_link_by_which_the_whole_payment_covers() -> None:
    facts = [invoice(), invoice_payment(0, 0, status="open"), intent(seconds=999)]

    assert amounts(project_facts(facts)) == {"pi_1": (2999, 0)}


def test_a_payment_names_its_invoice_before_the_invoice_is_known() -> None:
    assert only_payment(project_facts(intent(invoice="in_2"))).invoice_id == "in_2"


def test_a_reference_may_be_as_short_as_eight_letters_after_the_prefix() -> None:
    paid = intent(seconds=999, order_reference="in_12345678")

    assert amounts(project_facts(invoice(stripe_id="in_123456789"), paid)) == {"pi_1": (2999, 0)}


def test_the_first_invoice_may_be_paid_an_hour_after_the_checkout_and_no_later() -> None:
    assert amounts(project_facts(subscribed(0), invoice(3600))) == {"in_1": (2999, 0)}
    assert amounts(project_facts(subscribed(0), invoice(3601))) == {
        "in_1": (2999, 0),
        "cs_1": (2999, 0),
    }


def test_a_checkout_whose_first_invoice_is_known_takes_no_other_payment() -> None:
    facts = [subscribed(5), invoice(5), intent(seconds=6, stripe_id="pi_1")]
    other = intent(seconds=7, stripe_id="pi_2")

    rows = project_facts(facts, other).payments

    assert rows["test", "pi_1"].invoice_id == "in_1"
    assert rows["test", "pi_2"].plan_code is None
    assert rows["test", "pi_2"].user_id == "usr_1"
    assert not rows["test", "pi_2"].inferred


def test_an_unpaid_invoice_takes_no_payment_that_it_is_not_linked_to() -> None:
    facts = [open_invoice(5), subscribed(5, payment_status="unpaid"), intent(seconds=6)]

    assert only_payment(project_facts(facts)).invoice_id is None
    assert only_payment(project_facts(facts)).plan_code is None
