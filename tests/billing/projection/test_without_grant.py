"""Each reason why something paid for grants nothing, and the name under which it is noted."""

from dataclasses import replace
from typing import Any

import pytest

from billing.catalogue import Catalogue, read_catalogue
from billing.facts import Fact, Line
from billing.projection.plan_lookup import most_pressing
from billing.rows import NoGrant
from tests.billing.fact_builders import (
    CATALOGUE,
    DAY,
    at,
    charge,
    checkout,
    customer,
    intent,
    invoice,
    item,
    line,
    open_invoice,
    project_facts,
    subscribed,
    subscription,
    summary,
)

FREE = replace(CATALOGUE, nothing=frozenset({"price_free", "prod_free"}))
OLD = read_catalogue({"plans": {"old": {"prices": ["price_old"], "features": {"x": True}}}})
RENEWED = replace(CATALOGUE, former=(OLD,))
ITEM_LINE = line("price_basic", kind="subscription")


def noted(*facts: Fact, catalogue: Catalogue = CATALOGUE) -> dict[str, str]:
    """Return what the projection names, with the reasons."""
    return dict(project_facts(customer("usr_1"), *facts, catalogue=catalogue).without_grant)


def one_off(*lines: Line, **fields: Any) -> Fact:
    return invoice(subscription=None, lines=lines, **fields)


def running(price: str, seconds: float = 0, **named: Any) -> Fact:
    return subscription("active", seconds, item(price, **named))


@pytest.mark.parametrize(
    ("sold", "why"),
    [
        (running("price_x"), NoGrant.UNKNOWN_PRICE),
        (one_off(line("price_x")), NoGrant.UNKNOWN_PRICE),
        (checkout(price_id="price_x"), NoGrant.UNKNOWN_PRICE),
        (running("price_old"), NoGrant.FORMER_PRICE),
        (one_off(line("price_old")), NoGrant.FORMER_PRICE),
        (checkout(price_id="price_old"), NoGrant.FORMER_PRICE),
    ],
)
def test_a_price_in_no_plan_is_named_as_unknown_or_as_one_of_an_earlier_catalogue(
    sold: Fact, why: NoGrant
) -> None:
    assert set(noted(sold, catalogue=RENEWED).values()) == {why}


def test_a_plan_of_an_earlier_catalogue_is_named_by_its_code() -> None:
    assert noted(intent(plan_code="old"), catalogue=RENEWED) == {"old": "former_price"}


def test_a_price_whose_subscription_keeps_what_it_had_is_named_as_kept() -> None:
    changed = (running("price_basic"), running("price_x", DAY))

    assert noted(*changed) == {"price_x": "kept_price"}
    assert not noted(running("price_basic"))


def test_the_most_pressing_reason_of_a_price_stays_in_every_order_and_realm() -> None:
    kept = [running("price_basic"), running("price_x", DAY)]
    lost = subscription("active", 0, item("price_x"), stripe_id="sub_2")
    elsewhere = subscription("active", 0, item("price_x"), realm="live")

    assert noted(*kept, lost) == noted(lost, *reversed(kept)) == {"price_x": "unknown_price"}
    first = subscription("active", 0, item("price_x"), stripe_id="sub_0")
    assert noted(*kept, first) == {"price_x": "unknown_price"}
    assert noted(*kept, elsewhere) == noted(elsewhere, *kept) == {"price_x": "unknown_price"}


def test_the_most_pressing_reason_stays_whichever_realm_comes_first() -> None:
    lost, kept = {"price_x": NoGrant.UNKNOWN_PRICE}, {"price_x": NoGrant.KEPT_PRICE}

    assert most_pressing(lost, kept) == most_pressing(kept, lost) == lost


@pytest.mark.parametrize("features", [{}, {"signals_enabled": False, "max_devices": 0}])
def test_a_plan_that_lets_its_users_do_nothing_is_named_while_it_is_held(
    features: dict[str, Any],
) -> None:
    plan = {"prices": ["price_premium"], "features": features}
    catalogue = read_catalogue({"plans": {"hollow": plan}})

    assert noted(checkout(), catalogue=catalogue) == {"hollow": "empty_plan"}
    assert noted(running("price_premium"), catalogue=catalogue) == {"hollow": "empty_plan"}
    assert not noted(checkout(payment_status="unpaid"), catalogue=catalogue)


@pytest.mark.parametrize(
    "sold",
    [
        subscription("active", 0, item("price_free")),
        subscription("active", 0, item("price_x", product="prod_free")),
        one_off(line("price_free")),
        invoice(lines=(ITEM_LINE, line("price_free"))),
        checkout(price_id="price_free"),
        checkout(lines=(line("price_free"),), lines_complete=True, price_id=None),
        subscribed(price_id="price_free"),
    ],
)
def test_a_price_that_grants_nothing_is_named_as_meant_so(sold: Fact) -> None:
    projection = project_facts(customer("usr_1"), sold, catalogue=FREE)

    assert set(projection.without_grant.values()) == {NoGrant.NOTHING}
    assert projection.without_grant.keys() <= FREE.nothing
    assert not projection.unknown_prices


def test_a_setup_fee_is_named_as_a_part_of_its_subscription() -> None:
    fee = line("price_basic", id="il_fee")
    listed = subscribed(lines=(fee,), lines_complete=True, price_id=None)

    assert noted(invoice(lines=(ITEM_LINE, fee))) == {"il_fee": "part_of_subscription"}
    assert noted(invoice(lines=(ITEM_LINE, replace(fee, invoice_item="ii_fee")))) == {
        "ii_fee": "part_of_subscription"
    }
    assert not noted(open_invoice(lines=(ITEM_LINE, fee)))
    assert not noted(listed, running("price_team"))


def test_a_setup_fee_is_known_by_its_line_and_by_the_checkout_that_sold_it() -> None:
    begun = line("price_basic", kind="subscription", id="li_0")
    sold = (begun, line("price_basic", id="li_fee"), line(id="li_1"))
    elsewhere = one_off(line("price_basic", id="il_fee", subscription="sub_1"))
    listed = subscribed(lines=sold, lines_complete=True, price_id=None)

    assert noted(elsewhere, running("price_basic")) == {"il_fee": "part_of_subscription"}
    assert noted(listed, running("price_basic")) == {"li_fee": "part_of_subscription"}


def test_a_payment_for_the_plan_of_a_running_subscription_is_named_as_beside_it() -> None:
    assert noted(running("price_basic"), intent(seconds=DAY, plan_code="basic")) == {
        "pi_1": "beside_subscription"
    }


@pytest.mark.parametrize(
    ("paid", "name"),
    [
        (one_off(line(None)), "in_1"),
        (one_off(line(), line(None)), "in_1"),
        (one_off(), "in_1"),
        (invoice(lines=(ITEM_LINE, line(None))), "in_1"),
        (intent(), "pi_1"),
        (charge(payment_intent=None), "ch_1"),
        (intent(how={"customer": None}), "pi_1"),
        (checkout(lines=(line(None),), lines_complete=True, price_id=None), "pi_1"),
        (checkout(lines=(), lines_complete=True, price_id=None), "pi_1"),
    ],
)
def test_what_was_paid_and_names_neither_price_nor_plan_is_named_itself(
    paid: Fact, name: str
) -> None:
    assert noted(paid)[name] is NoGrant.UNNAMED


@pytest.mark.parametrize(
    "explained",
    [
        [one_off(line(None), amount_paid=0, status="open")],
        [one_off(line(None), plan_code="basic")],
        [one_off(plan_code="basic")],
        [one_off(amount_paid=0)],
        [invoice(lines=())],
        [checkout(price_id=None, invoice="in_1"), one_off()],
        [one_off(line(None), status="open", paid_at=at(0)), intent()],
        [one_off(line(None, amount=-5))],
        [intent("requires_payment_method", amount_received=0)],
        [intent(), subscription()],
        [intent(), summary("signals")],
        [intent(invoice="in_9")],
        [intent(), invoice(subscription=None, payment_refs=())],
        [checkout(price_id=None)],
        [checkout()],
    ],
)
def test_what_is_unpaid_explained_or_not_known_whole_is_not_named_as_unnamed(
    explained: list[Fact],
) -> None:
    assert NoGrant.UNNAMED not in noted(*explained).values()


def test_an_invoice_that_its_payments_cover_is_named_before_its_own_event() -> None:
    unnamed = open_invoice(subscription=None, lines=(line(None),), payment_refs=("pi_1",))

    assert noted(unnamed, intent())["in_1"] is NoGrant.UNNAMED
    assert not noted(unnamed, intent("requires_payment_method", amount_received=0))


def test_a_subscription_of_which_only_a_paid_invoice_is_known_is_named_as_missing() -> None:
    def missing(*facts: Fact) -> frozenset[str]:
        return project_facts(*facts).missing_subscriptions

    assert missing(invoice()) == {"sub_1"}
    assert not missing(invoice(), subscription())
    assert not missing(invoice(amount_paid=0))
    assert not missing(open_invoice())
    assert not missing(invoice(subscription=None))
    assert not missing(invoice(), summary("signals"))
