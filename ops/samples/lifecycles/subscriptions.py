"""Lifecycles of subscriptions, each with the state it must end in."""

from dataclasses import replace

from ops.samples.builders import customers
from ops.samples.lifecycles.expected import Expected, ExpectedGrant, ExpectedPayment, granted
from ops.samples.sample_plans import MONTHLY, TEAM
from ops.samples.scenario import DAY, MONTH, Scenario
from ops.samples.steps import invoices, subscriptions
from ops.samples.steps.invoices import PaymentAttempt
from ops.samples.steps.subscriptions import Subscriber

SUMMARY = "entitlements.active_entitlement_summary.updated"

LISTED_BY_STRIPE = ("exports", "priority_support")
"""Feature lookup keys in the sample entitlement summaries; no plan grants them."""


def first_paid(scenario: Scenario, now: int) -> Expected:
    """Record a new subscription with its first invoice paid."""
    subscriber, paid = _paid_subscription(scenario, at=now - 3)
    return _subscribed(scenario, subscriber, [paid])


def renewal(scenario: Scenario, now: int) -> Expected:
    """Record two further periods, each paid an hour after its start."""
    second, third = now - MONTH - invoices.BILL_WAITS - 2, now - invoices.BILL_WAITS - 2
    subscriber, first = _paid_subscription(scenario, at=second - MONTH)
    paid = [first, _paid_period(scenario, subscriber, at=second)]
    paid.append(_paid_period(scenario, subscriber, at=third))
    return _subscribed(scenario, subscriber, paid)


def trial_active(scenario: Scenario, now: int) -> Expected:
    """Record a free trial that becomes a paid subscription."""
    trial_end = now - invoices.BILL_WAITS - 2
    at = trial_end - 14 * DAY
    subscriber = subscriptions.subscribe(
        scenario, MONTHLY, at=at, status="trialing", trial_end=trial_end
    )
    invoices.pay_nothing(scenario, subscriber.bill, at=at)
    status = "no_payment_required" if scenario.builder.new else "paid"
    subscriptions.check_out_subscription(
        scenario, subscriber, at=at + 1, amount=0, payment_status=status
    )
    scenario.emit(
        "customer.subscription.trial_will_end", subscriber.subscription, at=trial_end - 3 * DAY
    )
    paid = _paid_period(scenario, subscriber, at=trial_end, status="active")
    return _subscribed(scenario, subscriber, [paid])


def cancel_at_period_end(scenario: Scenario, now: int) -> Expected:
    """Record a cancellation that keeps access until the period ends."""
    subscriber, paid = _paid_subscription(scenario, at=now - MONTH)
    subscriptions.update(
        scenario,
        subscriber,
        at=now - 12 * DAY,
        cancel_at=now,
        cancel_at_period_end=True,
        canceled_at=now - 12 * DAY,
        cancellation_details={
            "comment": None,
            "feedback": None,
            "reason": "cancellation_requested",
        },
    )
    ended = {**subscriber.subscription, "status": "canceled", "ended_at": now}
    subscriber.subscription = scenario.emit(subscriptions.DELETED, ended, at=now)
    return _subscribed(scenario, subscriber, [paid], active=False)


def past_due_recovered(scenario: Scenario, now: int) -> Expected:
    """Record a declined renewal that makes the subscription past due and is paid later."""
    start = now - 4 * DAY
    subscriber, first = _paid_subscription(scenario, at=start - MONTH)
    subscriptions.start_period(scenario, subscriber, at=start)
    due = start + invoices.BILL_WAITS
    intent = invoices.ask(scenario, subscriber.bill, at=due)
    intent = invoices.refuse(scenario, subscriber.bill, intent, at=due + 2)
    subscriptions.update(scenario, subscriber, at=due + 2, status="past_due")
    second = invoices.collect(scenario, subscriber.bill, intent, at=now)
    subscriptions.update(scenario, subscriber, at=now, status="active")
    expected = _subscribed(scenario, subscriber, [first, second])
    if not scenario.ancient:
        return expected
    # Without a payment intent to belong to, the declined charge is a payment of its own.
    declined = ExpectedPayment(payment_ref=intent["latest_charge"], amount_minor=0, status="failed")
    return replace(expected, payments=(*expected.payments, declined))


def upgrade(scenario: Scenario, now: int) -> Expected:
    """Record a change to three seats of another plan, with the difference paid."""
    seats = 3
    subscriber, first = _paid_subscription(scenario, at=now - 10 * DAY)
    former = granted(MONTHLY, source=subscriber.subscription["id"], active=False)
    subscriptions.switch(scenario, subscriber, TEAM, at=now - 2, quantity=seats)
    intent = invoices.ask(scenario, subscriber.bill, at=now - 2)
    second = invoices.collect(scenario, subscriber.bill, intent, at=now)
    subscriptions.update(scenario, subscriber, at=now, latest_invoice=subscriber.bill["id"])
    return _subscribed(scenario, subscriber, [first, second], beside=former)


def same_second(scenario: Scenario, now: int) -> Expected:
    """Record everything from the first invoice to the third change within one second."""
    subscriber, paid = _paid_subscription(scenario, at=now, takes=0)
    known = subscriber.subscription
    subscriptions.update(scenario, subscriber, at=now, description="Ordered by chance")
    subscriptions.update(scenario, subscriber, at=now, metadata={**known["metadata"], "seats": "1"})
    return _subscribed(scenario, subscriber, [paid])


def entitlement_summary(scenario: Scenario, now: int) -> Expected:
    """Record Stripe's own list of the customer's features, first one and then two."""
    start = now - 8 * DAY
    subscriber, paid = _paid_subscription(scenario, at=start)
    customer_id = subscriber.customer["id"]
    none, one, both = (
        customers.entitlement_summary(
            scenario.builder, customer_id=customer_id, lookup_keys=LISTED_BY_STRIPE[:count]
        )
        for count in range(3)
    )
    scenario.emit(SUMMARY, one, at=start + 4, before=none)
    scenario.emit(SUMMARY, both, at=now, before=one)
    listed_by_stripe = ExpectedGrant(
        source=customer_id, plan_code=None, features=dict.fromkeys(LISTED_BY_STRIPE, True)
    )
    return _subscribed(scenario, subscriber, [paid], beside=listed_by_stripe)


def _paid_subscription(
    scenario: Scenario, *, at: int, takes: int = 2
) -> tuple[Subscriber, PaymentAttempt]:
    subscriber = subscriptions.subscribe(scenario, MONTHLY, at=at)
    intent = invoices.ask(scenario, subscriber.bill, at=at)
    paid = invoices.collect(scenario, subscriber.bill, intent, at=at + takes)
    if not scenario.ancient:
        card = paid.charge["payment_method"]
        subscriptions.update(
            scenario, subscriber, at=at + takes, status="active", default_payment_method=card
        )
        amount = subscriber.bill["amount_due"]
        ends = at + takes + (1 if takes else 0)
        subscriptions.check_out_subscription(scenario, subscriber, at=ends, amount=amount)
    return subscriber, paid


def _paid_period(
    scenario: Scenario, subscriber: Subscriber, *, at: int, **changes: object
) -> PaymentAttempt:
    subscriptions.start_period(scenario, subscriber, at=at, **changes)
    intent = invoices.ask(scenario, subscriber.bill, at=at + invoices.BILL_WAITS)
    return invoices.collect(scenario, subscriber.bill, intent, at=at + invoices.BILL_WAITS + 2)


def _subscribed(
    scenario: Scenario,
    subscriber: Subscriber,
    paid: list[PaymentAttempt],
    *,
    active: bool = True,
    beside: ExpectedGrant | None = None,
) -> Expected:
    subscription = subscriber.subscription
    grant = granted(
        subscriber.offer, source=subscription["id"], active=active, seats=subscriber.quantity
    )
    return Expected(
        user_id=scenario.user_id,
        customer_id=subscriber.customer["id"],
        grants=(grant,) if beside is None else (grant, beside),
        payments=tuple(
            ExpectedPayment(payment_ref=payment.ref, amount_minor=payment.amount)
            for payment in paid
        ),
        subscriptions={subscription["id"]: subscription["status"]},
    )
