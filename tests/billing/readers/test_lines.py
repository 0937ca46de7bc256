"""A line of an invoice is read by what stands in it, with and without a parent."""

from typing import Any

import pytest

from billing.facts import Line
from billing.readers.lines import invoice_lines


def line(row: dict[str, Any]) -> Line:
    (read,) = invoice_lines({"lines": {"data": [row]}})
    return read


def under(parent: str, **details: Any) -> dict[str, Any]:
    return {"parent": {"type": parent, parent: details}}


def test_a_line_without_an_amount_is_about_nothing() -> None:
    assert line({"id": "il_1"}).amount == 0


def test_a_line_has_the_lookup_key_of_its_price() -> None:
    priced = {"price": {"id": "price_1", "lookup_key": "gold"}, "product": "prod_1"}

    read = line({"id": "il_1", "pricing": {"price_details": priced}})

    assert (read.price, read.lookup_key, read.product) == ("price_1", "gold", "prod_1")


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (under("subscription_item_details", subscription="sub_1"), "subscription"),
        (under("subscription_item_details", proration=True), "invoiceitem"),
        (under("invoice_item_details", invoice_item="ii_1"), "invoiceitem"),
        ({"type": "subscription"}, "subscription"),
        ({}, None),
    ],
)
def test_the_kind_of_a_line_is_that_of_its_parent_unless_it_is_a_proration(
    row: dict[str, Any], kind: str | None
) -> None:
    assert line({"id": "il_1", **row}).kind == kind


@pytest.mark.parametrize(
    ("row", "subscription"),
    [
        ({"id": "sub_1", "type": "subscription"}, "sub_1"),
        ({"id": "il_1", "type": "subscription"}, None),
        ({"id": "sub_1", "type": "invoiceitem"}, None),
        ({"id": "sub_1", "type": "subscription", "subscription": "sub_2"}, "sub_2"),
        ({"type": "subscription"}, None),
    ],
)
def test_only_the_id_of_a_subscriptions_own_line_can_be_the_subscriptions(
    row: dict[str, Any], subscription: str | None
) -> None:
    assert line(row).subscription == subscription
