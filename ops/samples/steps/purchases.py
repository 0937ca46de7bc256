"""What buyers and their banks do: the steps one-time lifecycles are made of."""

from ops.samples.builders import customers as people
from ops.samples.builders import payments
from ops.samples.scenario import DAY, Story
from ops.samples.shop import Offer
from ops.samples.steps.invoices import Payment, succeeded
from ops.samples.steps.subscriptions import arrive
from ops.samples.unread_fields import JsonObject


def buy(story: Story, offer: Offer, *, at: int) -> tuple[JsonObject, Payment]:
    """A purchase made and paid within seconds: the customer, and the payment."""
    person = arrive(story, at=at - 30)
    intent = order(story, offer, customer_id=person["id"], at=at)
    charge = payments.charge(story.pen, intent, at=at + 2, invoice_id=None)
    paid = Payment(intent=intent, charge=charge)
    story.tell("charge.succeeded", charge, at=at + 2)
    story.change("payment_intent.succeeded", intent, at=at + 2, **succeeded(paid))
    session = purchase_session(story, offer, customer_id=person["id"], intent=intent, at=at)
    story.tell("checkout.session.completed", session, at=at + 3)
    return person, paid


def order(story: Story, offer: Offer, *, customer_id: str, at: int) -> JsonObject:
    """The payment intent of a purchase, before anybody paid."""
    intent = payments.payment_intent(
        story.pen,
        customer_id=customer_id,
        amount=offer.amount,
        at=at,
        metadata={"user_id": story.user_id},
    )
    return story.tell("payment_intent.created", intent, at=at)


def purchase_session(
    story: Story, offer: Offer, *, customer_id: str, intent: JsonObject | None, at: int
) -> JsonObject:
    """The checkout of a one-time purchase, complete and paid unless it is changed."""
    return people.checkout_session(
        story.pen,
        customer_id=customer_id,
        user_id=story.user_id,
        amount=offer.amount,
        at=at - 30,
        mode="payment",
        metadata={"price_id": offer.price},
        payment_intent=intent["id"] if intent else None,
    )


def give_back(story: Story, paid: Payment, *, amount: int, at: int) -> None:
    """A refund of this amount; before 2024-10-28 nothing but the charge told of a new one."""
    back = payments.refund(story.pen, paid.charge, amount=amount, at=at)
    if story.pen.new:
        story.tell("refund.created", back, at=at)
    story.change(
        "charge.refunded",
        paid.charge,
        at=at,
        amount_refunded=amount,
        refunded=amount == paid.amount,
    )
    story.change("charge.refund.updated", back, at=at + 1, receipt_number="1871-2207")


def contest(story: Story, paid: Payment, *, at: int, ends: str, ends_at: int) -> None:
    """The cardholder disputes the charge, and the bank decides: ``lost`` or ``won``."""
    dispute = payments.dispute(story.pen, paid.charge, at=at)
    story.tell("charge.dispute.created", dispute, at=at)
    story.tell("charge.dispute.funds_withdrawn", dispute, at=at + 1)
    dispute = story.change("charge.dispute.updated", dispute, at=at + DAY, status="under_review")
    dispute = story.change("charge.dispute.closed", dispute, at=ends_at, status=ends)
    if ends == "won":
        story.tell("charge.dispute.funds_reinstated", dispute, at=ends_at)
