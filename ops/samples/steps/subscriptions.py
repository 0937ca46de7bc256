"""Steps of subscribers, of which subscription lifecycles consist."""

from dataclasses import dataclass
from functools import partial

from ops.samples.builders import customers, invoices, subscriptions
from ops.samples.sample_plans import SamplePrice
from ops.samples.scenario import MONTH, Scenario
from ops.samples.unread_fields import JsonObject
from ops.samples.worlds.records import InvoiceLine

CREATED = "customer.subscription.created"
UPDATED = "customer.subscription.updated"
DELETED = "customer.subscription.deleted"


@dataclass(slots=True, kw_only=True)
class Subscriber:
    """The state of a subscription in the scenario; steps change it."""

    offer: SamplePrice
    customer: JsonObject
    subscription: JsonObject
    bill: JsonObject
    quantity: int = 1


def arrive(scenario: Scenario, *, at: int) -> JsonObject:
    """Make a user of the application a customer."""
    person = customers.customer(scenario.builder, user_id=scenario.user_id, at=at)
    return scenario.emit("customer.created", person, at=at)


def subscribe(
    scenario: Scenario,
    offer: SamplePrice,
    *,
    at: int,
    status: str = "incomplete",
    trial_end: int | None = None,
) -> Subscriber:
    """Create a customer and a subscription with its first invoice, before anything is paid."""
    person = arrive(scenario, at=at - 30)
    begun = subscriptions.subscription(
        scenario.builder,
        offer,
        customer_id=person["id"],
        user_id=scenario.user_id,
        at=at,
        status="active" if scenario.ancient else status,
        period_end=trial_end,
    )
    if trial_end is not None:
        begun |= {"trial_start": at, "trial_end": trial_end, "billing_cycle_anchor": trial_end}
    amount = None if trial_end is None else 0
    line = invoices.invoice_line(scenario.builder, offer, subscription=begun, at=at, amount=amount)
    bill = _bill(scenario, begun, [line], at=at, reason="subscription_create")
    subscription = scenario.emit(CREATED, {**begun, "latest_invoice": bill["id"]}, at=at)
    return Subscriber(offer=offer, customer=person, subscription=subscription, bill=bill)


def update(scenario: Scenario, subscriber: Subscriber, *, at: int, **changes: object) -> None:
    """Change the subscription, with an event about it."""
    subscriber.subscription = scenario.change(UPDATED, subscriber.subscription, at=at, **changes)


def start_period(scenario: Scenario, subscriber: Subscriber, *, at: int, **changes: object) -> None:
    """Start the next period: a new invoice, and the subscription moves on before it is paid."""
    line = invoices.invoice_line(
        scenario.builder,
        subscriber.offer,
        subscription=subscriber.subscription,
        at=at,
        quantity=subscriber.quantity,
    )
    subscriber.bill = _bill(
        scenario, subscriber.subscription, [line], at=at, reason="subscription_cycle"
    )
    known = subscriber.subscription
    items = known["items"]["data"] if "items" in known else []
    whole = subscriptions.with_items(scenario.builder, known, items, period=(at, at + MONTH))
    moved = {name: value for name, value in whole.items() if known.get(name) != value}
    update(scenario, subscriber, at=at, latest_invoice=subscriber.bill["id"], **moved, **changes)


def switch(
    scenario: Scenario, subscriber: Subscriber, offer: SamplePrice, *, at: int, quantity: int
) -> None:
    """Change the subscription to another price at once, and bill the difference."""
    known = subscriber.subscription
    item = subscriptions.subscription_item(
        scenario.builder, offer, subscription_id=known["id"], at=at, quantity=quantity
    )
    changed = subscriptions.with_items(scenario.builder, known, [item], period=(at, at + MONTH))
    changed |= {"plan": item["plan"], "quantity": quantity}
    subscriber.subscription = scenario.emit(UPDATED, changed, at=at, before=known)
    line = partial(
        invoices.invoice_line, scenario.builder, subscription=changed, at=at, proration=True
    )
    unused = line(subscriber.offer, amount=-subscriber.offer.amount // 2)
    lines = [unused, line(offer, quantity=quantity)]
    subscriber.bill = _bill(scenario, changed, lines, at=at, reason="subscription_update")
    subscriber.offer, subscriber.quantity = offer, quantity


def check_out_subscription(
    scenario: Scenario,
    subscriber: Subscriber,
    *,
    at: int,
    amount: int,
    payment_status: str = "paid",
) -> None:
    """Complete the checkout that created the subscription."""
    session = customers.checkout_session(
        scenario.builder,
        customer_id=subscriber.customer["id"],
        user_id=scenario.user_id,
        amount=amount,
        at=at - 30,
        mode="subscription",
        metadata={"price_id": subscriber.offer.price},
        payment_status=payment_status,
        subscription=subscriber.subscription["id"],
        invoice=subscriber.bill["id"],
    )
    scenario.emit("checkout.session.completed", session, at=at)


def _bill(
    scenario: Scenario, subscription: JsonObject, lines: list[InvoiceLine], *, at: int, reason: str
) -> JsonObject:
    draft = invoices.invoice(
        scenario.builder,
        subscription=subscription,
        lines=lines,
        at=at,
        reason=reason,
    )
    return scenario.emit("invoice.created", draft, at=at)
