"""The access by status, grace and pause of a subscription."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from billing.facts import CollectionPause, Fact
from billing.rows import EntitlementRow, Projection
from tests.billing.fact_builders import (
    DAY,
    at,
    charge,
    invoice,
    invoice_payment,
    item,
    only_grant,
    open_invoice,
    project_facts,
    subscribed,
    subscription,
    with_fields,
    with_policy,
)

ENDING = with_policy({"collection_paused": "end"})


def by_plan(projection: Projection) -> dict[str, EntitlementRow]:
    return {row.plan_code: row for row in projection.entitlements.values()}


def test_grace_gives_nothing_to_an_upgrade_that_was_never_paid() -> None:
    rows = by_plan(
        project_facts(
            subscription("active", 0, item("price_basic")),
            subscription("past_due", DAY, item("price_premium")),
            now=DAY,
        )
    )

    assert not rows["premium"].active
    assert rows["premium"].because == (
        "Subscription sub_1 is past due since 2026-11-02; plan premium was not paid before, so it"
        " has no grace."
    )
    assert rows["basic"].expires_at == at(DAY)


def test_grace_after_a_change_to_another_plan_prolongs_the_one_that_was_paid() -> None:
    rows = by_plan(
        project_facts(
            subscription("active", 0, item("price_premium")),
            subscription("past_due", DAY, item("price_basic")),
            now=2 * DAY,
        )
    )

    assert rows["premium"].active
    assert rows["premium"].expires_at == at(8 * DAY)
    assert not rows["basic"].active


def test_grace_prolongs_what_both_were_and_are_paid_for() -> None:
    rows = by_plan(
        project_facts(
            subscription("active", 0, item("price_premium"), item("price_basic")),
            subscription("past_due", DAY, item("price_premium"), item("price_team")),
            now=2 * DAY,
        )
    )

    assert {code: row.active for code, row in rows.items()} == {
        "premium": True,
        "basic": False,
        "team": False,
    }
    assert rows["basic"].because == "Subscription sub_1 is no longer on plan basic."


@pytest.mark.parametrize(("before", "now", "seats"), [(2, 5, 2), (5, 2, 2)])
def test_grace_prolongs_the_smaller_number_of_seats(before: int, now: int, seats: int) -> None:
    row = only_grant(
        project_facts(
            subscription("trialing", 0, item("price_team", before)),
            subscription("past_due", DAY, item("price_team", now)),
        )
    )

    assert row.entitlements == {"max_devices": 2 * seats}


def test_grace_of_a_subscription_that_was_never_seen_running_is_for_what_it_is_on() -> None:
    facts = [subscription("incomplete", 0, item("price_basic")), subscription("past_due", DAY)]

    assert by_plan(project_facts(facts, now=2 * DAY))["premium"].active


def seen_by_api(fact: Fact) -> Fact:
    return replace(fact, event_type="")


def test_grace_of_what_the_api_showed_first_began_with_its_oldest_unpaid_invoice() -> None:
    seen = seen_by_api(subscription("past_due", 6 * DAY, item(period_start=at(2 * DAY))))
    before = open_invoice(DAY, stripe_id="in_0", finalized_at=at(DAY))
    unpaid = [
        open_invoice(3 * DAY, finalized_at=at(3 * DAY)),
        open_invoice(4 * DAY, stripe_id="in_2", status="uncollectible", own_created_at=at(4 * DAY)),
    ]

    assert only_grant(project_facts(seen, before, *unpaid)).expires_at == at(10 * DAY)
    assert only_grant(project_facts(seen, before)).expires_at == at(13 * DAY)
    periodless = seen_by_api(subscription("past_due", 6 * DAY))
    assert only_grant(project_facts(periodless, before)).expires_at == at(8 * DAY)
    renewal = open_invoice(2 * DAY, finalized_at=at(2 * DAY))
    assert only_grant(project_facts(seen, renewal)).expires_at == at(9 * DAY)
    failed = open_invoice(DAY, payment_failed=True, finalized_at=at(3 * DAY))
    assert only_grant(project_facts(seen, failed)).expires_at == at(8 * DAY)


def test_grace_of_what_the_api_showed_first_began_when_the_invoice_that_was_sent_was_due() -> None:
    seen = seen_by_api(subscription("past_due", 32 * DAY, item(period_start=at(DAY))))
    sent = open_invoice(32 * DAY, finalized_at=at(DAY), due_at=at(31 * DAY))

    granted = only_grant(project_facts(seen, sent, now=33 * DAY))

    assert granted.active
    assert granted.expires_at == at(38 * DAY)


@pytest.mark.parametrize(
    "linked",
    [
        {"payment_intent": None, "stripe_id": "ch_9"},
        {"payment_intent": "pi_9"},
        {"payment_intent": "pi_8"},
        {"payment_intent": None, "invoice": "in_1"},
    ],
)
def test_grace_of_what_the_api_showed_first_began_when_the_first_charge_failed(
    linked: dict[str, Any],
) -> None:
    seen = seen_by_api(subscription("past_due", 6 * DAY))
    unpaid = open_invoice(6 * DAY, finalized_at=at(2 * DAY), payment_refs=("ch_9", "pi_9"))
    link = invoice_payment(6 * DAY, 0, paid_by="pi_8", status="open")

    def ends(made: float, status: str = "failed") -> datetime | None:
        attempt = charge(6 * DAY, **linked, **made_as(status, made))
        return only_grant(project_facts(seen, unpaid, link, attempt)).expires_at

    assert ends(2 * DAY + 60) == at(9 * DAY + 60)
    assert ends(2 * DAY - 60) == ends(3 * DAY) == at(9 * DAY)
    assert ends(2 * DAY + 60, "succeeded") == at(9 * DAY)


def made_as(status: str, seconds: float) -> dict[str, Any]:
    return {"status": status, "own_created_at": at(seconds)}


def test_a_failed_charge_for_another_invoice_begins_no_grace() -> None:
    seen = seen_by_api(subscription("past_due", 6 * DAY))
    unpaid = open_invoice(6 * DAY, finalized_at=at(2 * DAY), payment_refs=("pi_9",))
    other = charge(6 * DAY, **made_as("failed", 2 * DAY + 60))

    assert only_grant(project_facts(seen, unpaid, other)).expires_at == at(9 * DAY)


def test_a_failed_charge_for_an_invoice_that_was_paid_begins_no_grace_of_another() -> None:
    seen = seen_by_api(subscription("past_due", 6 * DAY))
    unpaid = open_invoice(6 * DAY, finalized_at=at(2 * DAY), payment_refs=("pi_9",))
    paid = invoice(6 * DAY, stripe_id="in_0", finalized_at=at(0), payment_refs=("pi_0",))
    retry = charge(6 * DAY, payment_intent="pi_0", **made_as("failed", 2 * DAY + 60))

    assert only_grant(project_facts(seen, unpaid, paid, retry)).expires_at == at(9 * DAY)


@pytest.mark.parametrize(("after", "begins"), [(0, 0), (7200, 7200), (7201, 0)])
def test_the_first_charge_for_an_invoice_is_made_within_two_hours(
    after: float, begins: float
) -> None:
    seen = seen_by_api(subscription("past_due", 6 * DAY))
    unpaid = open_invoice(6 * DAY, finalized_at=at(2 * DAY), payment_refs=("pi_1",))
    tried = charge(6 * DAY, **made_as("failed", 2 * DAY + after))

    assert only_grant(project_facts(seen, unpaid, tried)).expires_at == at(9 * DAY + begins)


def test_a_payment_of_another_invoice_is_no_attempt_to_collect_an_unpaid_one() -> None:
    seen = seen_by_api(subscription("past_due", 6 * DAY))
    unpaid = open_invoice(6 * DAY, finalized_at=at(2 * DAY))
    link = invoice_payment(6 * DAY, 0, invoice="in_2", status="open")
    tried = charge(6 * DAY, **made_as("failed", 2 * DAY + 60))

    assert only_grant(project_facts(seen, unpaid, link, tried)).expires_at == at(9 * DAY)


def test_the_first_period_to_begin_runs_where_items_have_their_own() -> None:
    periods = [
        item(name, period_start=at(begin))
        for name, begin in (("price_premium", 2 * DAY), ("price_basic", 0))
    ]
    seen = seen_by_api(subscription("past_due", 6 * DAY, *periods))
    unpaid = open_invoice(6 * DAY, finalized_at=at(DAY))

    assert by_plan(project_facts(seen, unpaid))["premium"].expires_at == at(8 * DAY)


def test_grace_of_what_the_api_showed_running_begins_with_the_event() -> None:
    running = seen_by_api(subscription("active", DAY))
    waiting = open_invoice(DAY, finalized_at=at(0))
    failed = subscription("past_due", 5 * DAY)

    assert only_grant(project_facts(running, waiting, failed)).expires_at == at(12 * DAY)


def test_a_payer_who_fails_after_the_due_date_begins_no_grace() -> None:
    seen = seen_by_api(subscription("past_due", 6 * DAY))
    sent = open_invoice(6 * DAY, finalized_at=at(0), due_at=at(2 * DAY), payment_refs=("pi_9",))
    tried = charge(6 * DAY, payment_intent="pi_9", **made_as("failed", 2 * DAY + 60))

    assert only_grant(project_facts(seen, sent, tried)).expires_at == at(9 * DAY)


@pytest.mark.parametrize(("was", "ends"), [("past_due", 9), ("active", 27)])
def test_an_event_that_shows_it_past_due_all_along_begins_no_grace(was: str, ends: float) -> None:
    now = subscription("past_due", 20 * DAY, item(period_start=at(0)))
    heard = replace(now, before=with_fields(now, status=was).fields)
    seen = seen_by_api(subscription("past_due", 21 * DAY, item(period_start=at(0))))
    unpaid = open_invoice(21 * DAY, finalized_at=at(2 * DAY))

    assert only_grant(project_facts(heard, unpaid)).expires_at == at(ends * DAY)
    assert only_grant(project_facts(heard, seen, unpaid)).expires_at == at(ends * DAY)
    assert only_grant(project_facts(seen, unpaid)).expires_at == at(9 * DAY)


def test_a_payer_who_fails_before_the_due_date_begins_no_grace() -> None:
    running = subscription("active", 0)
    sent = open_invoice(5 * DAY, finalized_at=at(0), due_at=at(30 * DAY), payment_failed=True)
    overdue = subscription("past_due", 30 * DAY)

    row = only_grant(project_facts(running, sent, overdue, now=31 * DAY))

    assert row.active
    assert row.expires_at == at(37 * DAY)


def test_the_next_period_begins_no_other_grace_of_what_the_api_showed_first() -> None:
    seen = seen_by_api(subscription("past_due", 25 * DAY, item(period_start=at(0))))
    unpaid = open_invoice(25 * DAY, finalized_at=at(0))
    renewed = subscription("past_due", 30 * DAY, item(period_start=at(30 * DAY)))
    bill = open_invoice(30 * DAY, stripe_id="in_2", finalized_at=at(30 * DAY))

    assert only_grant(project_facts(seen, unpaid)).expires_at == at(7 * DAY)
    row = only_grant(project_facts(seen, unpaid, renewed, bill, now=30 * DAY + 60))
    assert not row.active
    assert row.expires_at == at(7 * DAY)


def test_the_first_of_two_failed_charges_begins_grace() -> None:
    seen = seen_by_api(subscription("past_due", 6 * DAY))
    unpaid = open_invoice(6 * DAY, finalized_at=at(2 * DAY), payment_refs=("pi_1",))
    charges = [
        charge(6 * DAY, stripe_id=f"ch_{after}", **made_as("failed", 2 * DAY + after))
        for after in (90, 60)
    ]

    assert only_grant(project_facts(seen, unpaid, *charges)).expires_at == at(9 * DAY + 60)


@pytest.mark.parametrize("status", ["paid", "void", "draft"])
def test_an_invoice_that_is_not_to_be_paid_begins_no_grace(status: str) -> None:
    seen = seen_by_api(subscription("past_due", 6 * DAY))
    billed = open_invoice(3 * DAY, status=status, finalized_at=at(3 * DAY))

    assert only_grant(project_facts(seen, billed)).expires_at == at(13 * DAY)


def test_an_unpaid_invoice_begins_no_grace_where_a_webhook_showed_the_subscription() -> None:
    unpaid = open_invoice(3 * DAY, finalized_at=at(3 * DAY))

    shown = project_facts(subscription("past_due", 6 * DAY), unpaid)
    before = project_facts(
        subscription("active", 5 * DAY), seen_by_api(subscription("past_due", 6 * DAY)), unpaid
    )
    assert only_grant(shown).expires_at == only_grant(before).expires_at == at(13 * DAY)


def test_a_checkout_gives_way_to_grace_and_not_to_what_is_past_it() -> None:
    older = subscription("past_due", 0)
    begun = subscribed(DAY)

    assert only_grant(project_facts(older, begun, now=2 * DAY)).expires_at == at(7 * DAY)
    over = project_facts(older, subscribed(7 * DAY), now=8 * DAY)
    assert only_grant(over).expires_at == at(10 * DAY)
    assert over.missing_subscriptions == {"sub_1"}


def paused(status: str = "active", until: float | None = None) -> Fact:
    pause = CollectionPause(behavior="void", resumes_at=None if until is None else at(until))
    return subscription(status, 5, stated={"pause": pause})


@pytest.mark.parametrize("status", ["active", "trialing", "past_due"])
def test_a_pause_of_collection_changes_nothing_unless_the_policy_says_so(status: str) -> None:
    assert only_grant(project_facts(paused(status), now=DAY)).active
    row = only_grant(project_facts(paused(status), now=DAY, catalogue=ENDING))
    assert row.active is False
    assert row.expires_at is None
    assert row.because == (
        "Collection of subscription sub_1 is paused, which gives no access by policy."
    )


def test_access_comes_back_when_the_pause_is_over_and_the_projection_is_due_then() -> None:
    during = project_facts(paused(until=2 * DAY), now=DAY, catalogue=ENDING)
    after = project_facts(paused(until=2 * DAY), now=2 * DAY, catalogue=ENDING)

    assert not only_grant(during).active
    assert during.due_at == at(2 * DAY)
    assert only_grant(during).because == (
        "Collection of subscription sub_1 is paused until 2026-11-03, which gives no access by"
        " policy."
    )
    assert only_grant(after).active


def test_what_has_ended_says_so_although_collection_is_paused() -> None:
    row = only_grant(project_facts(paused("canceled"), catalogue=ENDING))

    assert row.because == "Subscription sub_1 is canceled, which gives no access."


def test_a_cut_list_of_items_is_named_in_the_reason() -> None:
    row = only_grant(project_facts(subscription(stated={"items_complete": False})))

    assert row.active
    assert row.because == (
        "Subscription sub_1 is active. Stripe's list of its items is cut off, so items may have"
        " gone."
    )


def test_a_reason_names_all_that_its_reader_must_know_of_the_items() -> None:
    kept = subscription(
        "active",
        DAY,
        item("price_x", id="si_1"),
        item("price_y", id="si_2"),
        stated={"items_complete": False},
    )
    before = subscription("active", 0, item(id="si_1"), item("price_basic", id="si_2"))

    because = (
        "Subscription sub_1 is active. In no plan: price_x, price_y; by policy it keeps what it"
        " granted before. Stripe's list of its items is cut off, so items may have gone."
    )
    rows = project_facts(before, kept).entitlements.values()
    assert {row.because for row in rows} == {because}


def test_a_subscription_has_ended_in_the_second_of_its_end() -> None:
    row = only_grant(project_facts(subscription(at_period_end=True), now=30 * DAY))

    assert (row.active, row.expires_at) == (False, at(30 * DAY))
    assert row.because == "Subscription sub_1 ended on 2026-12-01."
