"""Stripe's objects against ours: nothing differs unless a test makes a gap.

Each gap is found and classed, a run without ``--apply`` changes nothing, a repair mends it, and the
run after that finds nothing.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any, Final

import pytest
from sqlalchemy import text

from billing.envelope import parse
from ops.reconcile.agreement import Agreement
from ops.reconcile.objects import SECOND_LOOK_SECONDS
from ops.reconcile.shown import NoCustomer, UnknownCustomer
from ops.stripe_runs.runs import RunUnderWay
from ops.stripe_runs.same_account import OtherAccount
from runtime.failures.dead_letters import DeadLetterDraft, dead_letter
from runtime.stripe_api.errors import ApiForbidden, ApiRefused
from tests.ops.reconcile.company_side import NOW, CompanySides, classes, company_sides
from tests.stripe.company import CompanyEvent, CompanyPlan, build_company
from tests.stripe.state import moment

pytestmark = pytest.mark.servers

DAY: Final = 86_400
Raw = dict[str, Any]


@pytest.fixture
def both(database: str, redis_url: str) -> Iterator[CompanySides]:
    """A company at Stripe, and a database that heard nothing yet."""
    with company_sides(database, redis_url) as both:
        yield both


def test_a_company_of_fifty_whose_events_all_came_agrees(database: str, redis_url: str) -> None:
    with company_sides(database, redis_url, subscribers=50, months=4) as both:
        both.deliver()

        statement, differences = both.compare()

        assert classes(differences) == {}
        assert statement.agrees
        assert statement.subscriptions == 50
        assert both.time.seconds == 0, "nothing differs, so nobody waits"


def premium(both: CompanySides) -> Raw:
    """Return a subscription of the plan pro that states its user itself."""
    listed = both.stripe.all("/v1/subscriptions?status=all&limit=100")
    return next(each for each in listed if each["metadata"] and _price(each) == "price_pro_m")


def _price(subscription: Raw) -> str:
    return str(subscription["items"]["data"][0]["price"]["id"])


def _cancel(raw: Raw) -> None:
    raw |= {"status": "canceled", "ended_at": NOW - DAY, "canceled_at": NOW - DAY}


def _other_price(raw: Raw) -> None:
    price = raw["items"]["data"][0]["price"]
    price |= {"id": "price_basic_m", "product": "prod_basic", "lookup_key": None}


def _other_period(raw: Raw) -> None:
    raw["items"]["data"][0]["current_period_end"] += 30 * DAY


@pytest.mark.parametrize(
    ("change", "classed"),
    [
        (_cancel, "granted_not_paid"),
        (lambda raw: raw.update(status="past_due"), "other_status"),
        (lambda raw: raw.update(status="unpaid"), "granted_not_paid"),
        (_other_price, "other_price"),
        (_other_period, "other_period"),
        (lambda raw: raw.update(metadata={"user_id": "user_new"}), "other_user"),
        (lambda raw: raw.update(cancel_at_period_end=True), "stale_here"),
    ],
)
def test_a_change_of_a_subscription_that_was_not_heard_is_found_and_repaired(
    both: CompanySides, change: Callable[[Raw], None], classed: str
) -> None:
    both.deliver()
    subscription = premium(both)["id"]
    both.stripe.changes[subscription] = change

    _, found = both.compare()

    assert classes(found) == {subscription: f"{classed} stands"}
    _repaired(both, {subscription: f"{classed} repaired"})


def test_a_subscription_that_was_never_heard_of_is_paid_and_not_granted(
    both: CompanySides,
) -> None:
    unheard = premium(both)
    (account,) = {
        each.account for each in both.company.events() if unheard["id"] in each.account.records
    }
    both.deliver(without=lambda event: event.account is account)

    statement, found = both.compare()

    assert classes(found)[unheard["id"]] == "paid_not_granted stands"
    assert {each.classed for each in found} <= {"paid_not_granted", "missing_here"}
    assert statement.days, "the money of that customer is missing on its days"
    _repaired(both, dict.fromkeys(classes(found)))


def test_a_payment_that_was_never_heard_of_is_missing_here(both: CompanySides) -> None:
    customer = premium(both)["customer"]
    charge = both.stripe.all(f"/v1/charges?customer={customer}&limit=1")[0]
    payment = charge["payment_intent"]
    both.deliver(
        without=lambda event: (
            payment in (body := event.delivery().body.decode()) or charge["id"] in body
        )
    )

    _, found = both.compare()

    assert classes(found) == {payment: "missing_here stands"}
    _repaired(both, {payment: "missing_here repaired"})


def test_a_refund_that_was_not_heard_of_is_another_amount(both: CompanySides) -> None:
    refund = both.stripe.all("/v1/refunds?limit=1")[0]
    both.deliver(without=lambda event: "refund" in event.type)

    statement, found = both.compare()

    payment = refund["payment_intent"]
    assert classes(found) == {payment: "amounts stands"}
    (day,) = statement.days
    assert (day.status, day.ours, day.theirs) == ("refunded", 0, refund["amount"])
    _repaired(both, {payment: "amounts repaired"})


def test_a_subscription_that_stripe_does_not_know_is_unknown_there(both: CompanySides) -> None:
    both.deliver()
    subscription = premium(both)["id"]
    both.stripe.hidden.add(subscription)

    _, found = both.compare()

    assert classes(found) == {subscription: "unknown_there stands"}
    _repaired(both, {subscription: "unknown_there repaired"})


def test_a_payment_that_stripe_does_not_know_is_left_to_a_person(both: CompanySides) -> None:
    both.deliver()
    charge = both.stripe.all("/v1/charges?limit=1")[0]
    both.stripe.hidden |= {charge["id"], charge["payment_intent"]}

    statement, found = both.compare(apply=True)

    assert classes(found) == {charge["payment_intent"]: "unknown_there left"}
    assert "Stripe has no such object" in found[0].says
    assert not statement.agrees


def test_a_difference_that_is_gone_after_a_minute_is_none(both: CompanySides) -> None:
    both.deliver()
    subscription = premium(both)["id"]
    both.stripe.changes[subscription] = _cancel
    both.time.during = both.stripe.changes.clear

    statement, found = both.compare()

    assert (classes(found), statement.agrees) == ({}, True)
    assert both.time.seconds == SECOND_LOOK_SECONDS, "once for all candidates"


def test_what_changed_between_the_looks_is_moving(both: CompanySides) -> None:
    both.deliver()
    subscription = premium(both)["id"]
    both.stripe.changes[subscription] = _other_period
    both.time.during = lambda: both.stripe.changes.update({subscription: _cancel})

    statement, found = both.compare(apply=True)

    assert classes(found) == {subscription: "granted_not_paid moving"}
    assert (statement.agrees, statement.moving) == (True, 1)


def test_a_difference_with_an_event_that_waits_is_moving(both: CompanySides) -> None:
    subscription = premium(both)["id"]
    late = _last_update(both, subscription)
    both.deliver(without=lambda event: event.id == late.id)
    both.inbox.accept(parse(late.delivery().body))

    _, found = both.compare(apply=True)

    assert classes(found) == {subscription: "other_period moving"}
    assert f"event {late.id} waits" in found[0].says


def test_a_difference_whose_event_is_a_dead_letter_is_left_and_names_it(
    both: CompanySides,
) -> None:
    subscription = premium(both)["id"]
    late = _last_update(both, subscription)
    both.deliver(without=lambda event: event.id == late.id)
    at = moment(late.created)
    draft = DeadLetterDraft(
        key=late.id,
        event_type=late.type,
        body=late.delivery().body,
        error_type="UnreadableEvent",
        error="a test",
        attempts=3,
        origin="stripe",
        received_at=at,
        first_failed_at=at,
        failed_at=at,
    )
    dead_letter(both.engine, [draft])

    _, found = both.compare(apply=True)

    assert classes(found) == {subscription: "other_period left"}
    assert f"`paidup dead show {late.id}`" in found[0].says


def test_customers_who_come_while_lists_are_read_are_no_difference(both: CompanySides) -> None:
    both.deliver()
    asked: list[str] = []

    def arrive(request: str) -> None:
        asked.append(request)
        if len(asked) % 4 == 0 and len(asked) < 60:
            both.stripe.now += 30
            both.hear(both.company.arrive(both.stripe.now - 10))

    both.stripe.refuses = arrive

    statement, found = both.compare()

    assert len(both.company.subscribers) > 14
    assert ({each.state for each in found}, statement.agrees) == (set(), True)


def test_a_run_that_was_stopped_goes_on_and_finds_the_same(both: CompanySides) -> None:
    both.deliver()
    subscription = premium(both)["id"]
    both.stripe.changes[subscription] = _cancel
    away = ApiRefused("400: a test")
    both.stripe.refuses = lambda request: away if "/v1/charges?limit=100" in request else None
    with pytest.raises(ApiRefused):
        both.compare()
    read = {each for each in both.stripe.asked if each.startswith("/v1/customers?limit=100")}
    both.stripe.refuses = lambda _: None
    both.stripe.asked.clear()

    statement, found = both.compare()

    assert classes(found) == {subscription: "granted_not_paid stands"}
    assert (statement.subscriptions, len(statement.sums)) == (11, 1)
    assert read
    assert not read.intersection(both.stripe.asked), "what was kept is not read again"
    with both.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM stripe_runs")) == 1
        assert connection.scalar(text("SELECT count(*) FROM stripe_run_pages")) == 0


def test_more_differences_than_are_looked_at_again_are_counted_as_moving(
    both: CompanySides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.reconcile.objects.MOST_CANDIDATES", 2)
    both.deliver()
    for each in both.stripe.all("/v1/subscriptions?status=all")[:5]:
        both.stripe.changes[each["id"]] = _cancel

    statement, found = both.compare()

    assert sorted(str(each.state) for each in found) == ["moving"] * 3 + ["stands"] * 2
    assert any(
        "3 objects differ that were not looked at twice" in each for each in statement.not_compared
    )


def test_a_restricted_key_leaves_out_what_it_may_not_read_and_says_so(both: CompanySides) -> None:
    both.deliver()
    forbidden = ApiForbidden("Having the 'rak_dispute_read' permission would allow this")
    both.stripe.refuses = lambda request: forbidden if "/v1/disputes" in request else None

    statement, found = both.compare()

    assert classes(found) == {}
    assert any("dispute_read" in each for each in statement.not_compared)
    assert any("totals by day" in each for each in statement.not_compared)


def test_one_customer_is_compared_by_a_few_requests(both: CompanySides) -> None:
    both.deliver()
    subscription = premium(both)
    both.stripe.changes[subscription["id"]] = _cancel
    other = next(
        each["id"]
        for each in both.stripe.all("/v1/subscriptions?status=all&limit=100")
        if each["id"] != subscription["id"]
    )
    both.stripe.changes[other] = _cancel
    both.stripe.asked.clear()

    statement, found = both.compare(customer=subscription["customer"])

    assert classes(found) == {subscription["id"]: "granted_not_paid stands"}
    assert len(both.stripe.asked) < 15
    assert (statement.whole, statement.subscriptions) == (False, 0)
    _repaired(both, {subscription["id"]: "granted_not_paid repaired"}, user=_user(subscription))


def test_a_user_without_customer_is_refused_with_the_next_step(both: CompanySides) -> None:
    both.deliver()

    with pytest.raises(NoCustomer, match="has no customer in test: name the customer"):
        both.compare(user="user_nobody")


def test_a_customer_of_whom_nothing_is_anywhere_is_refused(both: CompanySides) -> None:
    both.deliver()
    customer = premium(both)["customer"]
    both.stripe.hidden.add(customer)

    with pytest.raises(UnknownCustomer, match="neither Stripe nor Paidup knows a customer cus_no"):
        both.compare(customer="cus_nobody")
    both.compare(customer=customer)


def test_only_what_is_newer_is_compared_beside_all_subscriptions(both: CompanySides) -> None:
    both.deliver()
    both.stripe.asked.clear()
    first = both.stripe.company.plan.now - 40 * DAY

    statement, found = both.compare(first=_day(first))

    assert (classes(found), statement.whole) == ({}, False)
    assert statement.subscriptions == 12
    bounded = [each for each in both.stripe.asked if each.startswith("/v1/charges?limit=100")]
    assert all("created[gte]=" in each for each in bounded)
    assert 0 < statement.payments < 40


def test_a_second_process_is_refused_while_a_run_is_under_way(both: CompanySides) -> None:
    both.deliver()
    both.stripe.changes[premium(both)["id"]] = _cancel

    def start_another() -> None:
        with pytest.raises(RunUnderWay):
            both.compare()

    both.time.during = start_another

    statement, _ = both.compare()

    assert statement.differing == 1


def test_a_key_of_another_account_compares_and_repairs_nothing(both: CompanySides) -> None:
    both.deliver()
    before = _access_and_facts(both)
    other = build_company(CompanyPlan(subscribers=3, months=1, now=NOW, seed="another company"))
    both.stripe.company = other

    with pytest.raises(OtherAccount):
        both.compare(apply=True)

    assert _access_and_facts(both) == before


def test_a_refund_that_failed_after_all_leaves_no_day_on_which_totals_differ(
    both: CompanySides,
) -> None:
    both.deliver()
    refund = both.stripe.all("/v1/refunds?limit=1")[0]
    both.stripe.changes[refund["id"]] = lambda raw: raw.update(status="failed")
    both.stripe.changes[refund["charge"]] = lambda raw: raw.update(
        amount_refunded=raw["amount_refunded"] - refund["amount"], refunded=False
    )

    both.compare(apply=True)
    statement, found = both.compare()

    assert classes(found) == {}
    assert statement.days == ()


def test_a_payment_captured_in_part_leaves_no_day_on_which_totals_differ(
    both: CompanySides,
) -> None:
    both.deliver()
    refund = both.stripe.all("/v1/refunds?limit=1")[0]
    captured = -refund["amount"]
    both.stripe.changes[refund["charge"]] = lambda raw: raw.update(
        amount_captured=raw["amount"] + captured
    )
    both.stripe.changes[refund["payment_intent"]] = lambda raw: raw.update(
        amount_received=raw["amount"] + captured
    )

    both.compare(apply=True)
    statement, found = both.compare()

    assert (classes(found), statement.days) == ({}, ())


def test_a_bill_that_was_paid_at_stripe_and_outside_it_leaves_no_day_on_which_totals_differ(
    both: CompanySides,
) -> None:
    both.deliver()
    bill = _paid_bill(both, before=NOW)
    both.stripe.changes[bill["id"]] = lambda raw: raw.update(amount_paid=bill["amount_paid"] + 500)

    both.compare(apply=True)
    statement, found = both.compare()

    assert (classes(found), statement.days) == ({}, ())
    assert bill["id"] in _payments(both)


def test_a_bill_of_before_a_date_that_was_paid_since_leaves_no_day_on_which_totals_differ(
    both: CompanySides,
) -> None:
    first = NOW - 20 * DAY
    bill = _paid_bill(both, before=first)
    payment = bill["payments"]["data"][0]["payment"]["payment_intent"]
    charges = both.stripe.all(f"/v1/charges?payment_intent={payment}")
    both.stripe.hidden |= {payment, *(each["id"] for each in charges)}
    both.stripe.changes[bill["id"]] = lambda raw: raw.update(
        payments={"object": "list", "data": [], "has_more": False},
        status_transitions=raw["status_transitions"] | {"paid_at": first + 2 * DAY},
    )
    both.deliver(
        without=lambda event: (
            payment in (text := event.delivery().body.decode()) or bill["id"] in text
        )
    )
    both.compare(apply=True)

    statement, found = both.compare(first=_day(first))

    assert (classes(found), statement.days) == ({}, ())
    assert bill["id"] in _payments(both)


def _paid_bill(both: CompanySides, *, before: int) -> Raw:
    """Return a bill of before a second that Stripe took the money for."""
    bills = both.stripe.all("/v1/invoices?limit=100&expand[]=data.payments")
    return next(
        each
        for each in bills
        if each["created"] < before and each["status"] == "paid" and each["payments"]["data"]
    )


def _payments(both: CompanySides) -> set[str]:
    with both.engine.connect() as connection:
        return set(connection.scalars(text("SELECT payment_ref FROM payments")))


def _access_and_facts(both: CompanySides) -> tuple[int, int]:
    with both.engine.connect() as connection:
        access = connection.scalar(text("SELECT count(*) FROM user_entitlements WHERE active"))
        return access or 0, connection.scalar(text("SELECT count(*) FROM facts")) or 0


def _repaired(both: CompanySides, expected: dict[str, str | None], **wished: Any) -> Agreement:
    """Repair, and see that the next run finds nothing."""
    _, repaired = both.compare(apply=True, **wished)
    found = classes(repaired)
    assert found.keys() == expected.keys()
    for name, said in expected.items():
        assert found[name] == said or (said is None and found[name].endswith("repaired"))

    statement, left = both.compare(**wished)

    assert (classes(left), statement.agrees) == ({}, True), [each.says for each in left]
    return statement


def _last_update(both: CompanySides, subscription: str) -> CompanyEvent:
    return [
        each
        for each in both.company.events()
        if each.type == "customer.subscription.updated"
        and subscription in each.delivery().body.decode()
    ][-1]


def _user(subscription: Raw) -> str:
    return str(subscription["metadata"]["user_id"])


def _day(second: int) -> date:
    return datetime.fromtimestamp(second, UTC).date()


def test_one_customer_is_compared_at_once_where_no_event_is_of_the_last_minute(
    both: CompanySides,
) -> None:
    both.deliver()
    subscription = premium(both)
    both.stripe.changes[subscription["id"]] = _cancel
    both.stripe.now += 120

    _, found = both.compare(customer=subscription["customer"])

    assert classes(found) == {subscription["id"]: "granted_not_paid stands"}
    assert both.time.seconds < SECOND_LOOK_SECONDS
    assert both.sentences == []


@pytest.mark.parametrize("unreadable", [False, True])
def test_one_customer_is_looked_at_twice_where_an_event_may_be_of_the_last_minute(
    both: CompanySides, *, unreadable: bool
) -> None:
    both.deliver()
    subscription = premium(both)
    both.stripe.changes[subscription["id"]] = _cancel
    newest = max(
        each.created
        for each in both.company.events()
        if subscription["id"] in str(each.payload()["data"]["object"])
    )
    both.stripe.now = newest + (120 if unreadable else 30)
    forbidden = ApiForbidden("Having the 'rak_event_read' permission would allow this")
    both.stripe.refuses = lambda asked: forbidden if unreadable and "/v1/events?" in asked else None

    _, found = both.compare(customer=subscription["customer"])

    assert classes(found) == {subscription["id"]: "granted_not_paid stands"}
    assert both.time.seconds >= SECOND_LOOK_SECONDS
    assert any("again in a minute" in each for each in both.sentences)
