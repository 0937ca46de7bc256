"""A checkout states its buyer, its goods and its payment."""

from datetime import UTC, datetime
from typing import Any

import pytest

from billing.facts import CheckoutSessionFields, Kind, Line
from ops.samples.worlds.records import Session
from tests.billing.event_builders import printed
from tests.billing.readers.read_events import ids, only_fact

SESSION = printed(
    Session(
        id="cs_1",
        created=1_000,
        mode="payment",
        status="complete",
        payment_status="paid",
        amount=2999,
        customer="cus_1",
        reference="usr_123",
        metadata={"user_id": "usr_9", "price_id": "price_1", "plan_code": "premium"},
        payment_link="plink_1",
        intent="pi_1",
    ),
    invoice={"id": "in_1", "object": "invoice"},
)


def fields(stated: dict[str, Any]) -> CheckoutSessionFields:
    read = only_fact("checkout.session.completed", stated).fields
    assert isinstance(read, CheckoutSessionFields)
    return read


def test_a_paid_checkout_is_read_whole() -> None:
    fact = only_fact("checkout.session.completed", SESSION)

    assert fact.kind is Kind.CHECKOUT_SESSION
    assert fact.fields == CheckoutSessionFields(
        mode="payment",
        status="complete",
        payment_status="paid",
        amount_total=2999,
        currency="usd",
        payment_link="plink_1",
        payment_intent="pi_1",
        subscription=None,
        invoice="in_1",
        metadata=(("plan_code", "premium"), ("price_id", "price_1"), ("user_id", "usr_9")),
        client_reference_id="usr_123",
        own_created_at=datetime.fromtimestamp(1_000, UTC),
    )


def test_line_items_are_read_whole() -> None:
    listed = {
        "id": "li_1",
        "amount_subtotal": 3000,
        "amount_discount": 1,
        "amount_total": 2999,
        "quantity": 3,
        "price": {"id": "price_1", "lookup_key": "gold", "product": "prod_1"},
    }

    read = fields({**SESSION, "line_items": {"data": [listed], "has_more": False}})

    assert read.lines_complete
    assert read.lines == (
        Line(
            id="li_1",
            amount=3000,
            discount=1,
            quantity=3,
            price="price_1",
            lookup_key="gold",
            product="prod_1",
        ),
    )


def test_display_items_are_the_line_items_of_old_checkouts() -> None:
    shown = {"amount": 500, "quantity": 2, "sku": None, "plan": {"id": "plan_1"}}

    read = fields({**SESSION, "display_items": [shown]})

    assert read.lines_complete
    assert [(line.amount, line.quantity, line.price) for line in read.lines] == [(500, 2, "plan_1")]


def test_a_payment_link_is_shared_so_it_joins_no_customers() -> None:
    assert ids(only_fact("checkout.session.completed", SESSION)) == {
        "cs_1",
        "cus_1",
        "pi_1",
        "in_1",
    }


@pytest.mark.parametrize("name", ["line_items", "display_items"])
def test_line_items_name_what_was_bought(name: str) -> None:
    lines = [
        {"price": {"id": "price_1", "lookup_key": "gold", "product": "prod_1"}},
        {"plan": {"id": "price_2", "product": "prod_1"}},
        {"price": {"id": "price_1", "lookup_key": "gold", "product": "prod_1"}},
    ]

    read = fields({**SESSION, name: {"data": lines}})

    assert [(line.price, line.lookup_key, line.product) for line in read.lines] == [
        ("price_1", "gold", "prod_1"),
        ("price_2", None, "prod_1"),
        ("price_1", "gold", "prod_1"),
    ]


@pytest.mark.parametrize(
    ("stated", "mode"),
    [
        ({"id": "cs_1", "subscription": "sub_1"}, "subscription"),
        ({"id": "cs_1", "setup_intent": "seti_1"}, "setup"),
        ({"id": "cs_1", "payment_intent": "pi_1"}, "payment"),
    ],
)
def test_a_checkout_from_before_there_were_modes_has_one(stated: dict[str, Any], mode: str) -> None:
    assert fields(stated).mode == mode


def test_a_checkout_that_subscribes_names_its_subscription() -> None:
    stated = SESSION | {"mode": "subscription", "subscription": "sub_1", "payment_intent": None}

    assert (fields(stated).mode, fields(stated).subscription) == ("subscription", "sub_1")
    assert "sub_1" in ids(only_fact("checkout.session.completed", stated))
    assert fields({**stated, "mode": "of_tomorrow"}).mode == "of_tomorrow"


def test_a_checkout_that_does_not_say_it_is_paid_is_not_known_to_be() -> None:
    read = fields({"id": "cs_1", "amount_total": None})

    assert (read.payment_status, read.amount_total, read.currency) == ("unknown", 0, None)


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"price": {"id": "price_1", "recurring": {"interval": "month"}}}, "subscription"),
        ({"plan": {"id": "price_1"}}, "subscription"),
        ({"price": {"id": "price_1", "type": "one_time", "recurring": None}}, None),
    ],
)
def test_a_line_item_that_renews_is_of_another_kind_than_one_bought_once(
    row: dict[str, Any], kind: str | None
) -> None:
    (line,) = fields({**SESSION, "line_items": {"data": [row]}}).lines

    assert line.kind == kind
