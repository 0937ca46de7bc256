"""The grants of subscriptions: their features, their end and the reason."""

from typing import Any

import pytest

from billing.facts import Item
from billing.rows import EntitlementRow, Projection
from tests.billing.fact_builders import (
    DAY,
    at,
    checkout,
    invoice,
    item,
    only_grant,
    open_invoice,
    project_facts,
    subscribed,
    subscription,
)


def by_plan(projection: Projection) -> dict[str, EntitlementRow]:
    return {row.plan_code: row for row in projection.entitlements.values()}


@pytest.mark.parametrize("status", ["active", "trialing"])
def test_a_running_subscription_gives_access_with_no_end(status: str) -> None:
    row = only_grant(project_facts(subscription(status, 5)))

    assert row.active
    assert row.expires_at is None
    assert row.entitlements == {"signals_enabled": True, "max_devices": 5}
    assert (row.user_id, row.source, row.plan_code) == ("usr_1", "sub_1", "premium")
    assert row.starts_at == at(5)
    assert row.because == f"Subscription sub_1 is {status}."


@pytest.mark.parametrize(
    "status",
    ["incomplete", "incomplete_expired", "unpaid", "paused", "canceled", "unknown", "brand_new"],
)
def test_every_other_status_known_or_not_gives_none(status: str) -> None:
    row = only_grant(project_facts(subscription(status)))

    assert not row.active
    assert row.entitlements == {"signals_enabled": True, "max_devices": 5}
    assert row.because == f"Subscription sub_1 is {status}, which gives no access."


def test_the_row_shows_the_newest_snapshot() -> None:
    projection = project_facts(
        subscription("trialing", 0),
        subscription(
            "active",
            9,
            item("price_premium", period_end=3 * DAY),
            item("price_basic", period_end=4 * DAY),
            item(None, period_end=None),
        ),
    )
    row = projection.subscriptions["test", "sub_1"]

    assert (row.status, row.as_of) == ("active", at(9))
    assert row.prices == ("price_premium", "price_basic")
    assert row.current_period_end == at(4 * DAY)
    assert row.stripe_customer_id == "cus_1"
    assert row.user_id == "usr_1"


def test_a_subscription_without_known_period_has_none() -> None:
    projection = project_facts(subscription("active", 0, item(period_end=None), at_period_end=True))

    assert projection.subscriptions["test", "sub_1"].current_period_end is None
    assert only_grant(projection).expires_at is None


def test_a_renewing_subscription_is_not_cut_off_by_a_late_webhook() -> None:
    row = only_grant(project_facts(subscription("active", 0, item(period_end=DAY)), now=90 * DAY))

    assert row.active


def test_the_event_that_decides_is_the_newest_snapshot() -> None:
    row = only_grant(
        project_facts(subscription("trialing", 0), subscription("active", 9, event="evt_new"))
    )

    assert row.event_id == "evt_new"
    assert row.starts_at == at(0)


def test_an_end_that_is_set_ends_it_then() -> None:
    ending = subscription(cancel_at=5 * DAY)

    before, after = project_facts(ending, now=4 * DAY), project_facts(ending, now=5 * DAY)

    assert only_grant(before).active
    assert only_grant(before).expires_at == before.due_at == at(5 * DAY)
    assert only_grant(before).because == "Subscription sub_1 is active and ends on 2026-11-06."
    assert not only_grant(after).active
    assert after.due_at is None
    assert only_grant(after).because == "Subscription sub_1 ended on 2026-11-06."


def test_a_set_end_comes_before_the_end_of_the_period() -> None:
    row = only_grant(project_facts(subscription(cancel_at=5 * DAY, at_period_end=True), now=0))

    assert row.expires_at == at(5 * DAY)


def test_the_end_of_the_period_is_the_latest_of_the_entitled_items() -> None:
    ending = subscription(
        "active",
        0,
        item("price_premium", period_end=3 * DAY),
        item("price_basic", period_end=4 * DAY),
        item("price_unheard_of", period_end=9 * DAY),
        at_period_end=True,
    )

    rows = by_plan(project_facts(ending, now=0))

    assert {row.expires_at for row in rows.values()} == {at(4 * DAY)}
    assert rows.keys() == {"premium", "basic"}


def test_past_due_has_the_grace_of_its_plan() -> None:
    facts = [subscription("active", 0), subscription("past_due", 2 * DAY)]

    within, after = project_facts(facts, now=9 * DAY - 1), project_facts(facts, now=9 * DAY)

    assert only_grant(within).active
    assert only_grant(within).expires_at == within.due_at == at(9 * DAY)
    assert not only_grant(after).active
    assert only_grant(after).because == (
        "Subscription sub_1 is past due since 2026-11-03; plan premium gives 7 days of grace."
    )


def test_past_due_on_a_plan_without_grace_gives_no_access() -> None:
    row = only_grant(project_facts(subscription("past_due", 0, item("price_basic")), now=0))

    assert not row.active
    assert row.expires_at == at(0)


def test_grace_starts_with_the_earliest_past_due_snapshot_of_the_run() -> None:
    facts = [
        subscription("past_due", 0),
        subscription("active", 1 * DAY),
        subscription("past_due", 2 * DAY),
        subscription("past_due", 5 * DAY),
    ]

    assert only_grant(project_facts(facts)).expires_at == at(9 * DAY)


def test_grace_starts_with_a_failed_payment_since_the_last_other_status() -> None:
    facts = [
        subscription("active", 1 * DAY),
        open_invoice(DAY // 2, stripe_id="in_0", payment_failed=True),
        open_invoice(2 * DAY, payment_failed=True),
        open_invoice(2 * DAY, stripe_id="in_2", subscription="sub_2", payment_failed=True),
        subscription("past_due", 3 * DAY),
    ]

    assert only_grant(project_facts(facts)).expires_at == at(9 * DAY)


def test_grace_without_any_other_status_counts_every_failed_payment() -> None:
    facts = [open_invoice(1 * DAY, payment_failed=True), subscription("past_due", 3 * DAY)]

    assert only_grant(project_facts(facts, now=3 * DAY)).expires_at == at(8 * DAY)


def test_grace_lasts_no_longer_than_the_subscription() -> None:
    row = only_grant(project_facts(subscription("past_due", 0, cancel_at=2 * DAY), now=0))

    assert row.expires_at == at(2 * DAY)


def test_an_ended_subscription_says_when_it_ended() -> None:
    assert only_grant(project_facts(subscription("canceled", 5, ended=3))).expires_at == at(3)
    assert only_grant(project_facts(subscription("canceled", 5))).expires_at == at(5)


def test_a_changed_plan_leaves_an_inactive_row_of_the_former_one() -> None:
    rows = by_plan(
        project_facts(
            subscription("active", 0, item("price_basic")),
            subscription("active", 9, item("price_premium")),
        )
    )

    assert rows["premium"].active
    assert rows["premium"].starts_at == at(9)
    assert not rows["basic"].active
    assert rows["basic"].because == "Subscription sub_1 is no longer on plan basic."


def test_seats_of_one_plan_add_up() -> None:
    row = only_grant(
        project_facts(subscription("active", 0, item("price_team", 3), item("price_team", 2)))
    )

    assert row.entitlements == {"max_devices": 10}


def test_several_subscriptions_are_several_sources() -> None:
    projection = project_facts(
        subscription("active", 0, item("price_team", 2), stripe_id="sub_1"),
        subscription("active", 0, item("price_team", 3), item("price_basic"), stripe_id="sub_2"),
        subscription("canceled", 0, stripe_id="sub_3"),
    )

    assert {
        (row.source, row.plan_code): (row.active, row.entitlements.get("max_devices"))
        for row in projection.entitlements.values()
    } == {
        ("sub_1", "team"): (True, 4),
        ("sub_2", "team"): (True, 6),
        ("sub_2", "basic"): (True, 1),
        ("sub_3", "premium"): (False, 5),
    }


def test_an_item_is_known_by_lookup_key_or_product_too() -> None:
    by_product = Item(
        price="price_x", lookup_key="x", product="prod_premium", quantity=1, period_end=None
    )

    projection = project_facts(subscription("active", 0, by_product))

    assert only_grant(projection).plan_code == "premium"
    assert projection.unknown_prices == frozenset()


def test_a_price_in_no_plan_grants_nothing_and_is_named() -> None:
    nameless = Item(price=None, lookup_key=None, product=None, quantity=1, period_end=None)
    projection = project_facts(subscription("active", 0, item("price_x"), nameless))

    assert not projection.entitlements
    assert projection.unknown_prices == {"price_x"}
    assert projection.subscriptions


def test_the_price_of_an_ended_subscription_is_named_no_more() -> None:
    assert not project_facts(subscription("canceled", 0, item("price_x"))).unknown_prices


def test_a_paid_checkout_grants_before_any_snapshot_and_for_three_days() -> None:
    before, after = (
        project_facts(subscribed(5), now=DAY),
        project_facts(subscribed(5), now=5 + 3 * DAY),
    )

    assert only_grant(before).active
    assert only_grant(before).source == "sub_1"
    assert only_grant(before).expires_at == before.due_at == at(5 + 3 * DAY)
    assert only_grant(before).because == (
        "Checkout cs_1 is complete; no snapshot of subscription sub_1 has come since."
    )
    assert before.missing_subscriptions == {"sub_1"}
    assert not before.subscriptions
    assert not only_grant(after).active


def test_a_checkout_that_is_free_for_now_grants_as_well() -> None:
    trial = subscribed(5, payment_status="no_payment_required", amount_total=0)

    assert only_grant(project_facts(trial, now=DAY)).active


@pytest.mark.parametrize(
    "fields",
    [
        {"payment_status": "unpaid"},
        {"payment_status": "brand_new"},
        {"payment_status": "no_payment_required", "status": "expired"},
        {"payment_status": "no_payment_required", "status": "open"},
        {
            "payment_status": "no_payment_required",
            "status": None,
            "how": {"type_": "checkout.session.expired"},
        },
    ],
)
def test_an_unpaid_or_unfinished_checkout_grants_nothing(fields: dict[str, Any]) -> None:
    projection = project_facts(subscribed(5, **fields), now=DAY)

    assert not projection.entitlements
    assert not projection.waiting


def test_a_subscription_that_only_an_unpaid_checkout_names_hides_no_other() -> None:
    unpaid = subscribed(payment_status="unpaid", subscription="sub_0")

    assert only_grant(project_facts(unpaid, subscription())).source == "sub_1"


def test_a_checkout_gives_way_to_a_snapshot_that_is_not_older() -> None:
    row = only_grant(project_facts(subscribed(5), subscription("incomplete", 5), now=DAY))

    assert not row.active


def test_a_checkout_gives_way_to_an_ended_snapshot_however_old() -> None:
    assert not only_grant(project_facts(subscribed(5), subscription("canceled", 1), now=DAY)).active


def test_an_older_snapshot_that_grants_simply_decides() -> None:
    projection = project_facts(subscribed(5), subscription("active", 1), now=DAY)

    assert only_grant(projection).active
    assert only_grant(projection).expires_at is None
    assert not projection.missing_subscriptions


def test_a_checkout_takes_the_plan_of_an_older_snapshot_that_does_not_grant() -> None:
    row = only_grant(
        project_facts(
            subscribed(5, price_id=None),
            subscription("incomplete", 1, item("price_team", 4)),
            now=DAY,
        )
    )

    assert row.active
    assert row.entitlements == {"max_devices": 8}
    assert row.expires_at == at(5 + 3 * DAY)


def test_a_checkout_for_another_plan_than_the_subscription_leaves_an_inactive_row() -> None:
    rows = by_plan(
        project_facts(subscribed(5), subscription("active", 9, item("price_basic")), now=DAY)
    )

    assert rows["basic"].active
    assert not rows["premium"].active


def test_a_checkout_for_the_plan_of_the_snapshot_sets_its_start() -> None:
    assert only_grant(project_facts(subscribed(5), subscription("active", 9))).starts_at == at(5)
    assert only_grant(project_facts(subscribed(5), subscription("active", 1))).starts_at == at(1)


def test_a_checkout_without_known_plan_reports_its_price() -> None:
    projection = project_facts(subscribed(price_id="price_x"), now=DAY)

    assert not projection.entitlements
    assert projection.unknown_prices == {"price_x"}


def test_the_newest_paid_checkout_of_a_subscription_decides() -> None:
    row = only_grant(
        project_facts(
            subscribed(5, stripe_id="cs_1"),
            subscribed(9, stripe_id="cs_2"),
            subscribed(11, stripe_id="cs_3", payment_status="unpaid"),
            now=DAY,
        )
    )

    assert row.expires_at == at(9 + 3 * DAY)


def test_a_guess_is_marked_in_the_row_and_named_in_the_projection() -> None:
    projection = project_facts(
        subscription("active", 0, event="a"), subscription("unpaid", 0, event="b")
    )

    assert only_grant(projection).guessed
    assert projection.undecided == {"test:sub_1"}


def test_an_invoice_alone_makes_no_subscription() -> None:
    projection = project_facts(invoice())

    assert not projection.subscriptions
    assert not projection.entitlements


def test_a_checkout_in_mode_setup_is_neither_purchase_nor_subscription() -> None:
    projection = project_facts(checkout(mode="setup", payment_intent=None, amount_total=0))

    assert not projection.entitlements
    assert not projection.purchases


@pytest.mark.parametrize(
    ("lookup_key", "product", "named"),
    [("gold", "prod_x", "gold"), ("gold", None, "gold"), (None, "prod_x", "prod_x")],
)
def test_an_item_in_no_plan_is_named_by_the_best_of_its_names(
    lookup_key: str | None, product: str | None, named: str
) -> None:
    sold = Item(price=None, lookup_key=lookup_key, product=product, quantity=1, period_end=None)

    assert project_facts(subscription("active", 0, sold)).unknown_prices == {named}


def test_the_row_says_whether_it_ends_with_its_period() -> None:
    for ends in (True, False):
        row = project_facts(subscription(at_period_end=ends)).subscriptions["test", "sub_1"]
        assert row.cancel_at_period_end is ends


def test_a_checkout_alone_is_no_guess_and_one_seat() -> None:
    row = only_grant(project_facts(subscribed(5, price_id="price_team"), now=DAY))

    assert row.guessed is False
    assert row.entitlements == {"max_devices": 2}


def test_a_plan_began_when_it_was_first_stated_and_not_with_more_seats() -> None:
    facts = [
        subscription("active", 1, item("price_team", 1)),
        subscription("active", 5, item("price_team", 3)),
        subscription("active", 9, item("price_team", 1)),
    ]

    assert (
        only_grant(project_facts(facts[:2])).starts_at
        == only_grant(project_facts(facts)).starts_at
        == at(1)
    )
    assert only_grant(project_facts(facts[:2])).entitlements == {"max_devices": 6}
    assert only_grant(project_facts(facts)).entitlements == {"max_devices": 2}


def test_a_plan_that_only_the_checkout_named_is_one_seat_of_it() -> None:
    rows = by_plan(
        project_facts(subscribed(5, price_id="price_team"), subscription("active", 9), now=DAY)
    )

    assert rows["team"].entitlements == {"max_devices": 2}
    assert rows["team"].active is False
    assert rows["team"].expires_at is None


def test_what_gives_no_access_but_may_again_has_no_end() -> None:
    row = only_grant(project_facts(subscription("paused")))

    assert row.active is False
    assert row.expires_at is None


def test_a_payment_that_failed_in_the_second_of_another_status_is_no_sign() -> None:
    facts = [
        subscription("active", DAY),
        open_invoice(DAY, payment_failed=True),
        subscription("past_due", 3 * DAY),
    ]

    assert only_grant(project_facts(facts)).expires_at == at(10 * DAY)
