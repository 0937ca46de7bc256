"""What subscribers do: the steps subscription lifecycles are made of."""

from dataclasses import dataclass

from ops.samples.builders import customers as people
from ops.samples.builders import invoices, subscriptions
from ops.samples.scenario import Story
from ops.samples.shop import Offer
from ops.samples.unread_fields import JsonObject

CREATED = "customer.subscription.created"
UPDATED = "customer.subscription.updated"
DELETED = "customer.subscription.deleted"


@dataclass(slots=True, kw_only=True)
class Subscriber:
    """Where a subscription stands in the story; steps move it on."""

    offer: Offer
    customer: JsonObject
    subscription: JsonObject
    bill: JsonObject
    quantity: int = 1


def arrive(story: Story, *, at: int) -> JsonObject:
    """Somebody with an account in the application becomes a customer."""
    person = people.customer(story.pen, user_id=story.user_id, at=at)
    return story.tell("customer.created", person, at=at)


def subscribe(
    story: Story, offer: Offer, *, at: int, status: str = "incomplete", trial_end: int | None = None
) -> Subscriber:
    """A customer and the subscription with its first bill, before anything is paid."""
    person = arrive(story, at=at - 30)
    begun = subscriptions.subscription(
        story.pen,
        offer,
        customer_id=person["id"],
        user_id=story.user_id,
        at=at,
        status="active" if story.ancient else status,
        period_end=trial_end,
    )
    if trial_end is not None:
        begun |= {"trial_start": at, "trial_end": trial_end, "billing_cycle_anchor": trial_end}
    lines = [_first_line(story, offer, begun, at=at, free=trial_end is not None)]
    bill = _bill(story, begun, lines, at=at, reason="subscription_create")
    subscription = story.tell(CREATED, {**begun, "latest_invoice": bill["id"]}, at=at)
    return Subscriber(offer=offer, customer=person, subscription=subscription, bill=bill)


def update(story: Story, subscriber: Subscriber, *, at: int, **changes: object) -> None:
    """Stripe says that something about the subscription has changed."""
    subscriber.subscription = story.change(UPDATED, subscriber.subscription, at=at, **changes)


def start_period(story: Story, subscriber: Subscriber, *, at: int, **changes: object) -> None:
    """A period ends: there is a new bill, and the subscription moves on before it is paid."""
    period = (at, at + subscriptions.period_of(subscriber.offer))
    line = invoices.invoice_line(
        story.pen,
        subscriber.offer,
        subscription=subscriber.subscription,
        period=period,
        quantity=subscriber.quantity,
    )
    subscriber.bill = _bill(
        story, subscriber.subscription, [line], at=at, reason="subscription_cycle"
    )
    moved = _moved_on(story, subscriber, period)
    update(story, subscriber, at=at, latest_invoice=subscriber.bill["id"], **moved, **changes)


def switch(story: Story, subscriber: Subscriber, offer: Offer, *, at: int, quantity: int) -> None:
    """The subscription changes to another offer at once, and the difference is billed."""
    known, period = subscriber.subscription, (at, at + subscriptions.period_of(offer))
    item = subscriptions.subscription_item(
        story.pen, offer, subscription_id=known["id"], at=at, quantity=quantity
    )
    changed = subscriptions.with_items(story.pen, known, [item], period=period)
    changed |= {"plan": item["plan"], "quantity": quantity}
    subscriber.subscription = story.tell(UPDATED, changed, at=at, before=known)
    lines = _difference(story, subscriber, offer, period=period, quantity=quantity)
    subscriber.bill = _bill(
        story, subscriber.subscription, lines, at=at, reason="subscription_update"
    )
    subscriber.offer, subscriber.quantity = offer, quantity


def check_out_subscription(
    story: Story, subscriber: Subscriber, *, at: int, amount: int, payment_status: str = "paid"
) -> None:
    """The checkout that the subscription came from reports that it is complete."""
    session = people.checkout_session(
        story.pen,
        customer_id=subscriber.customer["id"],
        user_id=story.user_id,
        amount=amount,
        at=at - 30,
        mode="subscription",
        metadata={"price_id": subscriber.offer.price},
        payment_status=payment_status,
        subscription=subscriber.subscription["id"],
        invoice=subscriber.bill["id"],
    )
    story.tell("checkout.session.completed", session, at=at)


def _first_line(
    story: Story, offer: Offer, subscription: JsonObject, *, at: int, free: bool
) -> JsonObject:
    return invoices.invoice_line(
        story.pen,
        offer,
        subscription=subscription,
        period=(at, at + subscriptions.period_of(offer)),
        amount=0 if free else None,
    )


def _bill(
    story: Story, subscription: JsonObject, lines: list[JsonObject], *, at: int, reason: str
) -> JsonObject:
    draft = invoices.invoice(
        story.pen,
        subscription=subscription,
        customer_id=subscription["customer"],
        lines=lines,
        at=at,
        reason=reason,
    )
    return story.tell("invoice.created", draft, at=at)


def _moved_on(story: Story, subscriber: Subscriber, period: tuple[int, int]) -> JsonObject:
    known = subscriber.subscription
    items = known["items"]["data"] if "items" in known else []
    moved = subscriptions.with_items(story.pen, known, items, period=period)
    return {name: value for name, value in moved.items() if known.get(name) != value}


def _difference(
    story: Story, subscriber: Subscriber, offer: Offer, *, period: tuple[int, int], quantity: int
) -> list[JsonObject]:
    known, unused = subscriber.offer, -subscriber.offer.amount // 2
    on = subscriber.subscription
    return [
        invoices.invoice_line(
            story.pen, known, subscription=on, period=period, amount=unused, proration=True
        ),
        invoices.invoice_line(
            story.pen, offer, subscription=on, period=period, quantity=quantity, proration=True
        ),
    ]
