"""An invoice and its payments read the same in every API version."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from billing.facts import InvoiceFields, InvoicePaymentFields, Kind, Line
from ops.samples.api_shapes import Shape
from ops.samples.worlds.offers import StripePrice
from ops.samples.worlds.records import Invoice, InvoiceLine, InvoicePayment
from tests.billing.event_builders import CREATED, printed
from tests.billing.readers.read_events import facts, ids, only_fact

PAID_AT = datetime.fromtimestamp(1_000, UTC)
BILLED = InvoiceLine(
    id="il_1",
    offer=StripePrice(price="price_1", product="prod_1", amount=600),
    amount=1200,
    discount=100,
    quantity=2,
    start=900,
    end=1_900,
    subscription="sub_1",
    item="si_1",
)
INVOICE = Invoice(
    id="in_1",
    customer="cus_1",
    created=900,
    status="paid",
    lines=(BILLED,),
    reason="subscription_cycle",
    subscription="sub_1",
    metadata={"price_id": "price_9", "plan_code": "premium", "user_id": "usr_9"},
    copied={"user_id": "usr_1"},
    balance=100,
    amount_paid=1000,
    finalized_at=950,
    due_at=990,
    paid_at=1_000,
    intent="pi_1",
    test_clock="clock_1",
)
PAYMENT = InvoicePayment(id="inpay_1", invoice="in_1", intent="pi_1", amount=1000, created=1_000)
NEW = printed(INVOICE, payments={"data": [printed(PAYMENT)]})
OLD = printed(INVOICE, Shape.OLD)
BARE = printed(replace(INVOICE, subscription=None))
LINE = Line(
    id="il_1",
    amount=1200,
    discount=100,
    quantity=2,
    price="price_1",
    lookup_key=None,
    product="prod_1",
    kind="subscription",
    subscription="sub_1",
    subscription_item="si_1",
    period_start=datetime.fromtimestamp(900, UTC),
    period_end=datetime.fromtimestamp(1_900, UTC),
)


def invoice(event_type: str, stated: dict[str, Any]) -> InvoiceFields:
    read = facts(event_type, stated)[0].fields
    assert isinstance(read, InvoiceFields)
    return read


@pytest.mark.parametrize("stated", [NEW, OLD])
def test_every_shape_of_an_invoice_says_the_same(stated: dict[str, Any]) -> None:
    fact = facts("invoice.updated", stated)[0]

    assert fact.kind is Kind.INVOICE
    assert ids(fact) == {"in_1", "cus_1", "sub_1", "pi_1"}
    assert fact.fields == InvoiceFields(
        status="paid",
        amount_paid=1000,
        currency="usd",
        subscription="sub_1",
        payment_refs=("pi_1",),
        paid_at=PAID_AT,
        payment_failed=False,
        metadata=(("plan_code", "premium"), ("price_id", "price_9"), ("user_id", "usr_9")),
        subscription_metadata=(("user_id", "usr_1"),),
        lines=(LINE,),
        total=1100,
        amount_due=1000,
        billing_reason="subscription_cycle",
        own_created_at=datetime.fromtimestamp(900, UTC),
        finalized_at=datetime.fromtimestamp(950, UTC),
        due_at=datetime.fromtimestamp(990, UTC),
        test_clock="clock_1",
    )


def test_a_line_of_2014_names_its_subscription_by_its_own_id() -> None:
    line = {"id": "sub_1", "type": "subscription", "amount": 5, "plan": {"id": "gold"}}

    read = invoice("invoice.updated", {"id": "in_1", "date": 900, "lines": {"data": [line]}})

    assert read.lines == (
        Line(
            id="sub_1",
            amount=5,
            price="gold",
            lookup_key=None,
            product=None,
            kind="subscription",
            subscription="sub_1",
        ),
    )
    assert read.own_created_at == datetime.fromtimestamp(900, UTC)


def test_a_credit_for_unused_time_reads_the_same_in_every_shape() -> None:
    price = {"price": "price_1", "product": "prod_1"}
    details = {"proration": True, "subscription": "sub_1", "invoice_item": "ii_1"}
    new = {"type": "invoice_item_details", "invoice_item_details": details}
    shapes = [
        {"id": "il_1", "amount": -700, "parent": new, "pricing": {"price_details": price}},
        {
            "id": "il_1",
            "amount": -700,
            "type": "invoiceitem",
            "price": {"id": "price_1", "product": "prod_1"},
            **details,
        },
    ]

    read = [invoice("invoice.updated", {"id": "in_1", "lines": {"data": [row]}}) for row in shapes]

    assert read[0].lines == read[1].lines
    line = read[0].lines[0]
    assert (line.amount, line.kind, line.proration) == (-700, "invoiceitem", True)
    assert (line.subscription, line.invoice_item) == ("sub_1", "ii_1")


def test_lines_that_were_cut_off_say_so() -> None:
    assert not invoice(
        "invoice.paid", {**OLD, "lines": {**OLD["lines"], "has_more": True}}
    ).lines_complete


def test_an_invoice_states_the_payments_it_contains() -> None:
    read_facts = facts("invoice.paid", NEW)

    assert [fact.object_key for fact in read_facts] == ["test:in_1", "test:inpay_1"]
    assert read_facts[1].fields == InvoicePaymentFields(
        status="paid",
        amount_paid=1000,
        currency="usd",
        invoice="in_1",
        payment_ref="pi_1",
        own_created_at=PAID_AT,
        paid_at=PAID_AT,
    )
    assert ids(read_facts[1]) == {"inpay_1", "in_1", "pi_1"}


def test_an_invoice_names_every_way_it_was_paid_once() -> None:
    payments = [
        {"payment": {"charge": "ch_1"}},
        {"payment": {"payment_record": "prec_1"}},
        {"payment": {"payment_intent": {"id": "pi_1"}}},
        {"payment": None},
    ]

    read = invoice(
        "invoice.paid", {**OLD, "payments": {"data": payments}, "charge": {"id": "ch_2"}}
    )

    assert read.payment_refs == ("ch_1", "prec_1", "pi_1", "ch_2")


@pytest.mark.parametrize(
    ("marks", "status", "amount_paid"),
    [
        ({"paid": True, "amount_due": 700}, "paid", 700),
        ({"paid": False, "forgiven": True, "amount_due": 700}, "uncollectible", 0),
        ({"paid": False, "amount_due": 700}, None, 0),
    ],
)
def test_an_invoice_from_before_there_was_a_status_has_one(
    marks: dict[str, Any], status: str | None, amount_paid: int
) -> None:
    read = invoice("invoice.updated", {"id": "in_1", **marks})

    assert (read.status, read.amount_paid) == (status, amount_paid)


@pytest.mark.parametrize(
    ("stated", "amount_paid", "out_of_band"),
    [
        ({"amount_paid": 1000, "paid_out_of_band": True}, 1000, True),
        ({"amount_paid": 0, "amount_due": 1000, "paid_out_of_band": True}, 1000, True),
        ({"amount_paid": 0, "amount_due": 1000, "amount_paid_off_stripe": 1000}, 1000, True),
        ({"amount_paid": 1000, "amount_paid_off_stripe": 1}, 1000, True),
        ({"amount_paid": 1000, "amount_paid_off_stripe": 0}, 1000, False),
        ({"amount_paid": 0, "amount_due": 1000}, 0, False),
    ],
)
def test_what_was_paid_outside_stripe_is_paid(
    stated: dict[str, Any], amount_paid: int, out_of_band: object
) -> None:
    read = invoice("invoice.paid", {**OLD, **stated})

    assert (read.amount_paid, read.paid_out_of_band) == (amount_paid, out_of_band)


def test_an_invoice_of_no_subscription_has_no_copy_of_its_metadata() -> None:
    assert invoice("invoice.paid", BARE).subscription_metadata == ()


@pytest.mark.parametrize(
    ("event_type", "paid_at"),
    [
        ("invoice.paid", datetime.fromtimestamp(CREATED, UTC)),
        ("invoice.payment_succeeded", datetime.fromtimestamp(CREATED, UTC)),
        ("invoice.updated", None),
    ],
)
def test_an_old_invoice_was_paid_when_its_event_says_so(
    event_type: str, paid_at: datetime | None
) -> None:
    assert invoice(event_type, {"id": "in_1", "paid": True}).paid_at == paid_at


def test_a_failed_payment_is_said_by_its_event_alone() -> None:
    fact = only_fact("invoice.payment_failed", OLD, previous={"attempt_count": 1})

    assert isinstance(fact.fields, InvoiceFields)
    assert fact.fields.payment_failed
    assert isinstance(fact.before, InvoiceFields)
    assert not fact.before.payment_failed


@pytest.mark.parametrize(
    ("payment", "ref"),
    [
        ({"type": "payment_intent", "payment_intent": "pi_1"}, "pi_1"),
        ({"type": "charge", "charge": "ch_1"}, "ch_1"),
        ({"type": "payment_record", "payment_record": "prec_1"}, "prec_1"),
        ({"type": "barter", "goat": "goat_1"}, None),
    ],
)
def test_an_invoice_payment_links_the_invoice_to_what_paid_it(
    payment: dict[str, Any], ref: str | None
) -> None:
    stated = printed(PAYMENT, amount_paid=None, payment=payment, created=900)

    fact = only_fact("invoice_payment.paid", stated)

    assert fact.kind is Kind.INVOICE_PAYMENT
    assert fact.fields == InvoicePaymentFields(
        status="paid",
        amount_paid=0,
        currency="usd",
        invoice="in_1",
        payment_ref=ref,
        own_created_at=datetime.fromtimestamp(900, UTC),
        paid_at=PAID_AT,
    )
    assert ids(fact) == {"inpay_1", "in_1"} | ({ref} if ref else set())
