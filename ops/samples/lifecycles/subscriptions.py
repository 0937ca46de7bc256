"""What becomes of subscriptions, each with the state it must end in."""

from dataclasses import replace

from ops.samples.builders import customers as people
from ops.samples.lifecycles.expected import Expected, ExpectedGrant, ExpectedPayment, granted
from ops.samples.scenario import DAY, MONTH, Story
from ops.samples.shop import MONTHLY, TEAM
from ops.samples.steps import invoices as collecting
from ops.samples.steps import subscriptions as subscribing
from ops.samples.steps.invoices import Payment
from ops.samples.steps.subscriptions import Subscriber

SUMMARY = "entitlements.active_entitlement_summary.updated"

LISTED_BY_STRIPE = ("exports", "priority_support")
"""Feature lookup keys in the sample entitlement summaries; no plan grants them."""


def first_paid(story: Story, now: int) -> Expected:
    """A subscription is taken out and its first bill is paid."""
    subscriber, paid = _paid_subscription(story, at=now - 3)
    return _subscribed(story, subscriber, [paid])


def renewal(story: Story, now: int) -> Expected:
    """Two further periods begin, and each is paid an hour later."""
    second, third = now - MONTH - collecting.BILL_WAITS - 2, now - collecting.BILL_WAITS - 2
    subscriber, first = _paid_subscription(story, at=second - MONTH)
    paid = [first, _paid_period(story, subscriber, at=second)]
    paid.append(_paid_period(story, subscriber, at=third))
    return _subscribed(story, subscriber, paid)


def trial_active(story: Story, now: int) -> Expected:
    """A trial that costs nothing becomes a paid subscription."""
    trial_end = now - collecting.BILL_WAITS - 2
    at = trial_end - 14 * DAY
    subscriber = subscribing.subscribe(
        story, MONTHLY, at=at, status="trialing", trial_end=trial_end
    )
    collecting.pay_nothing(story, subscriber.bill, at=at)
    status = "no_payment_required" if story.pen.new else "paid"
    subscribing.check_out_subscription(
        story, subscriber, at=at + 1, amount=0, payment_status=status
    )
    story.tell(
        "customer.subscription.trial_will_end", subscriber.subscription, at=trial_end - 3 * DAY
    )
    paid = _paid_period(story, subscriber, at=trial_end, status="active")
    return _subscribed(story, subscriber, [paid])


def cancel_at_period_end(story: Story, now: int) -> Expected:
    """A cancellation is booked, keeps access while the period lasts, and then takes it."""
    subscriber, paid = _paid_subscription(story, at=now - MONTH)
    subscribing.update(
        story,
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
    subscriber.subscription = story.tell(subscribing.DELETED, ended, at=now)
    return _subscribed(story, subscriber, [paid], active=False)


def past_due_recovered(story: Story, now: int) -> Expected:
    """A renewal is declined, the subscription falls past due, and the money comes after all."""
    start = now - 4 * DAY
    subscriber, first = _paid_subscription(story, at=start - MONTH)
    subscribing.start_period(story, subscriber, at=start)
    due = start + collecting.BILL_WAITS
    intent = collecting.ask(story, subscriber.bill, at=due)
    intent = collecting.refuse(story, subscriber.bill, intent, at=due + 2)
    subscribing.update(story, subscriber, at=due + 2, status="past_due")
    second = collecting.collect(story, subscriber.bill, intent, at=now)
    subscribing.update(story, subscriber, at=now, status="active")
    expected = _subscribed(story, subscriber, [first, second])
    if not story.ancient:
        return expected
    # Without a payment intent to belong to, the declined charge is a payment of its own.
    declined = ExpectedPayment(payment_ref=intent["latest_charge"], amount_minor=0, status="failed")
    return replace(expected, payments=(*expected.payments, declined))


def upgrade(story: Story, now: int) -> Expected:
    """A subscription changes to three seats of another plan, and the difference is paid."""
    seats = 3
    subscriber, first = _paid_subscription(story, at=now - 10 * DAY)
    former = granted(MONTHLY, source=subscriber.subscription["id"], active=False)
    subscribing.switch(story, subscriber, TEAM, at=now - 2, quantity=seats)
    intent = collecting.ask(story, subscriber.bill, at=now - 2)
    second = collecting.collect(story, subscriber.bill, intent, at=now)
    subscribing.update(story, subscriber, at=now, latest_invoice=subscriber.bill["id"])
    return _subscribed(story, subscriber, [first, second], beside=former)


def same_second(story: Story, now: int) -> Expected:
    """Everything from the first bill to the third change happens within one second."""
    subscriber, paid = _paid_subscription(story, at=now, takes=0)
    known = subscriber.subscription
    subscribing.update(story, subscriber, at=now, description="Ordered by chance")
    subscribing.update(story, subscriber, at=now, metadata={**known["metadata"], "seats": "1"})
    return _subscribed(story, subscriber, [paid])


def entitlement_summary(story: Story, now: int) -> Expected:
    """Stripe itself lists what the customer may use, first one feature and then two."""
    start = now - 8 * DAY
    subscriber, paid = _paid_subscription(story, at=start)
    customer_id = subscriber.customer["id"]
    none, one, both = (
        people.entitlement_summary(
            story.pen, customer_id=customer_id, lookup_keys=LISTED_BY_STRIPE[:count]
        )
        for count in range(3)
    )
    story.tell(SUMMARY, one, at=start + 4, before=none)
    story.tell(SUMMARY, both, at=now, before=one)
    listed_by_stripe = ExpectedGrant(
        source=customer_id, plan_code=None, features=dict.fromkeys(LISTED_BY_STRIPE, True)
    )
    return _subscribed(story, subscriber, [paid], beside=listed_by_stripe)


def _paid_subscription(story: Story, *, at: int, takes: int = 2) -> tuple[Subscriber, Payment]:
    subscriber = subscribing.subscribe(story, MONTHLY, at=at)
    intent = collecting.ask(story, subscriber.bill, at=at)
    paid = collecting.collect(story, subscriber.bill, intent, at=at + takes)
    if not story.ancient:
        card = paid.charge["payment_method"]
        subscribing.update(
            story, subscriber, at=at + takes, status="active", default_payment_method=card
        )
        amount = subscriber.bill["amount_due"]
        ends = at + takes + (1 if takes else 0)
        subscribing.check_out_subscription(story, subscriber, at=ends, amount=amount)
    return subscriber, paid


def _paid_period(story: Story, subscriber: Subscriber, *, at: int, **changes: object) -> Payment:
    subscribing.start_period(story, subscriber, at=at, **changes)
    intent = collecting.ask(story, subscriber.bill, at=at + collecting.BILL_WAITS)
    return collecting.collect(story, subscriber.bill, intent, at=at + collecting.BILL_WAITS + 2)


def _subscribed(
    story: Story,
    subscriber: Subscriber,
    paid: list[Payment],
    *,
    active: bool = True,
    beside: ExpectedGrant | None = None,
) -> Expected:
    subscription = subscriber.subscription
    grant = granted(
        subscriber.offer, source=subscription["id"], active=active, seats=subscriber.quantity
    )
    return Expected(
        user_id=story.user_id,
        customer_id=subscriber.customer["id"],
        grants=(grant,) if beside is None else (grant, beside),
        payments=tuple(
            ExpectedPayment(payment_ref=payment.ref, amount_minor=payment.amount)
            for payment in paid
        ),
        subscriptions={subscription["id"]: subscription["status"]},
    )
