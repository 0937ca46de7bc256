"""Plans and seats of a paid checkout before the first snapshot of its subscription."""

from typing import Any

import pytest

from billing.catalogue import Catalogue, read_catalogue
from billing.facts import Fact, Line
from billing.rows import EntitlementRow, Projection
from tests.billing.fact_builders import (
    CATALOGUE,
    DAY,
    invoice,
    item,
    line,
    project_facts,
    subscribed,
    subscription,
)


def sold(price: str = "price_team", quantity: int | None = 4, **given: Any) -> Line:
    return line(price, quantity=quantity, **{"kind": "subscription", **given})


def begun(*facts: Fact, by: Catalogue = CATALOGUE) -> Projection:
    return project_facts(*facts, now=DAY, catalogue=by)


def seats(*facts: Fact) -> dict[str, Any]:
    return {row.plan_code: row.entitlements["max_devices"] for row in rows(begun(*facts))}


def rows(projection: Projection) -> list[EntitlementRow]:
    found = projection.entitlements.values()
    return [row for row in found if row.active and row.source == "sub_1"]


def test_the_invoice_that_a_checkout_made_tells_the_seats() -> None:
    facts = [subscribed(5, price_id="price_team"), invoice(5, lines=(sold(),))]

    assert seats(*facts) == {"team": 8}


def test_the_lines_of_a_checkout_speak_until_its_invoice_is_known() -> None:
    session = subscribed(5, price_id=None, lines=(sold(quantity=2), sold(quantity=3, id="li_2")))

    assert seats(session) == {"team": 10}
    assert seats(session, invoice(5, lines=(sold(),))) == {"team": 8}
    assert seats(session, invoice(5, lines=())) == {"team": 10}


def test_the_invoice_is_the_one_that_the_checkout_names_else_the_first_that_was_paid() -> None:
    first, second = (
        invoice(1, lines=(sold(quantity=1),)),
        invoice(2, stripe_id="in_2", lines=(sold(quantity=2),)),
    )
    unpaid = invoice(0, stripe_id="in_0", lines=(sold(quantity=9),), status="open", amount_paid=0)

    assert seats(subscribed(5), first, second, unpaid) == {"team": 2}
    assert seats(subscribed(5, invoice="in_2"), first, second, unpaid) == {"team": 4}
    assert seats(subscribed(5, invoice="in_0"), first, second, unpaid) == {"team": 18}


@pytest.mark.parametrize(
    "other",
    [
        sold("price_basic", proration=True),
        sold("price_basic", kind="invoiceitem"),
        sold("price_basic", quantity=0),
    ],
)
def test_a_line_that_bills_no_item_for_a_period_begins_nothing(other: Line) -> None:
    facts = [subscribed(5), invoice(5, lines=(sold(quantity=None), other))]

    assert seats(*facts) == {"team": 2}


def test_what_no_plan_sells_is_named_beside_what_one_sells() -> None:
    projection = begun(subscribed(5), invoice(5, lines=(sold(), sold("price_x"))))

    assert projection.unknown_prices == {"price_x"}
    assert [row.plan_code for row in rows(projection)] == ["team"]


def test_where_no_line_names_a_plan_the_metadata_does_for_all_seats() -> None:
    billed = invoice(5, lines=(sold("price_x", 2), sold("price_y", 1)))

    assert seats(subscribed(5, price_id=None, plan_code="team"), billed) == {"team": 6}
    assert begun(subscribed(5, price_id=None), billed).unknown_prices == {"price_x", "price_y"}


def test_a_price_that_the_metadata_explains_is_not_named() -> None:
    assert not begun(subscribed(5), invoice(5, lines=(sold("price_x"),))).unknown_prices


def test_lines_that_grant_nothing_on_purpose_end_the_search() -> None:
    free = read_catalogue(
        {
            "plans": {"premium": {"prices": ["price_premium"]}},
            "catalogue": {"nothing": ["price_free"]},
        }
    )
    projection = begun(subscribed(5), invoice(5, lines=(sold("price_free"),)), by=free)

    assert rows(projection) == []
    assert not projection.unknown_prices


def test_a_snapshot_that_decides_leaves_a_row_of_what_the_invoice_billed() -> None:
    facts = [subscribed(5), invoice(5, lines=(sold(),)), subscription("active", 9, item())]
    found = begun(*facts).entitlements.values()

    assert {row.plan_code: row.active for row in found} == {"team": False, "premium": True}
    assert {r.plan_code: r.entitlements["max_devices"] for r in found} == {"team": 8, "premium": 5}
