"""Steps of buyers and their banks, of which one-time lifecycles consist."""

from ops.samples.builders import customers, payments
from ops.samples.sample_plans import SamplePrice
from ops.samples.scenario import DAY, Scenario
from ops.samples.steps.invoices import PaymentAttempt, succeeded
from ops.samples.steps.subscriptions import arrive
from ops.samples.unread_fields import JsonObject


def buy(scenario: Scenario, offer: SamplePrice, *, at: int) -> tuple[JsonObject, PaymentAttempt]:
    """Make and pay a purchase within seconds; return the customer and the payment."""
    person = arrive(scenario, at=at - 30)
    intent = order(scenario, offer, customer_id=person["id"], at=at)
    charge = payments.charge(scenario.builder, intent, at=at + 2, invoice_id=None)
    paid = PaymentAttempt(intent=intent, charge=charge)
    scenario.emit("charge.succeeded", charge, at=at + 2)
    scenario.change("payment_intent.succeeded", intent, at=at + 2, **succeeded(paid))
    session = purchase_session(scenario, offer, customer_id=person["id"], intent=intent, at=at)
    scenario.emit("checkout.session.completed", session, at=at + 3)
    return person, paid


def order(scenario: Scenario, offer: SamplePrice, *, customer_id: str, at: int) -> JsonObject:
    """Create the payment intent of a purchase, before it is paid."""
    intent = payments.payment_intent(
        scenario.builder,
        customer_id=customer_id,
        amount=offer.amount,
        at=at,
        metadata={"user_id": scenario.user_id},
    )
    return scenario.emit("payment_intent.created", intent, at=at)


def purchase_session(
    scenario: Scenario, offer: SamplePrice, *, customer_id: str, intent: JsonObject | None, at: int
) -> JsonObject:
    """Build the checkout of a one-time purchase, complete and paid."""
    return customers.checkout_session(
        scenario.builder,
        customer_id=customer_id,
        user_id=scenario.user_id,
        amount=offer.amount,
        at=at - 30,
        mode="payment",
        metadata={"price_id": offer.price},
        payment_intent=intent["id"] if intent else None,
    )


def refund(scenario: Scenario, paid: PaymentAttempt, *, amount: int, at: int) -> None:
    """Refund this amount; before 2024-10-28 only the charge had an event about a new refund."""
    back = payments.refund(scenario.builder, paid.charge, amount=amount, at=at)
    if scenario.builder.new:
        scenario.emit("refund.created", back, at=at)
    scenario.change(
        "charge.refunded",
        paid.charge,
        at=at,
        amount_refunded=amount,
        refunded=amount == paid.amount,
    )
    scenario.change("charge.refund.updated", back, at=at + 1, receipt_number="1871-2207")


def dispute_charge(
    scenario: Scenario, paid: PaymentAttempt, *, at: int, ends: str, ends_at: int
) -> None:
    """Dispute the charge; the bank decides ``lost`` or ``won``."""
    dispute = payments.dispute(scenario.builder, paid.charge, at=at)
    scenario.emit("charge.dispute.created", dispute, at=at)
    scenario.emit("charge.dispute.funds_withdrawn", dispute, at=at + 1)
    dispute = scenario.change("charge.dispute.updated", dispute, at=at + DAY, status="under_review")
    dispute = scenario.change("charge.dispute.closed", dispute, at=ends_at, status=ends)
    if ends == "won":
        scenario.emit("charge.dispute.funds_reinstated", dispute, at=ends_at)
