"""What becomes of one-time purchases, each with the state it must end in."""

from ops.samples.builders import customers as people
from ops.samples.builders import payments
from ops.samples.lifecycles.expected import Expected, ExpectedPayment, granted
from ops.samples.scenario import DAY, Story
from ops.samples.shop import LIFETIME, MONTHLY
from ops.samples.steps import purchases as purchasing
from ops.samples.steps.invoices import Payment
from ops.samples.steps.subscriptions import arrive


def paid_checkout(story: Story, now: int) -> Expected:
    """A single event, a paid checkout for a plan, from an endpoint that gets nothing else."""
    intent = story.pen.id("pi")
    session = people.checkout_session(
        story.pen,
        customer_id=None,
        user_id=story.user_id,
        amount=MONTHLY.amount,
        at=now,
        mode="payment",
        metadata={"plan_code": MONTHLY.plan_code},
        payment_intent=intent,
    )
    story.tell("checkout.session.completed", session, at=now)
    return Expected(
        user_id=story.user_id,
        customer_id=None,
        grants=(granted(MONTHLY, source=intent),),
        payments=(ExpectedPayment(payment_ref=intent, amount_minor=MONTHLY.amount),),
        purchases={intent: "paid"},
    )


def onetime(story: Story, now: int) -> Expected:
    """Something is bought once and paid at once."""
    person, paid = purchasing.buy(story, LIFETIME, at=now - 3)
    return _bought(story, person["id"], paid)


def refund_full(story: Story, now: int) -> Expected:
    """A purchase is refunded whole."""
    person, paid = purchasing.buy(story, LIFETIME, at=now - 3 * DAY)
    purchasing.give_back(story, paid, amount=LIFETIME.amount, at=now - 1)
    return _bought(story, person["id"], paid, refunded=LIFETIME.amount, active=False)


def refund_partial(story: Story, now: int) -> Expected:
    """A part of a purchase is refunded, which by policy keeps access."""
    person, paid = purchasing.buy(story, LIFETIME, at=now - 3 * DAY)
    purchasing.give_back(story, paid, amount=4000, at=now - 1)
    return _bought(story, person["id"], paid, refunded=4000)


def dispute_lost(story: Story, now: int) -> Expected:
    """A purchase is disputed and the bank sides with the cardholder."""
    person, paid = purchasing.buy(story, LIFETIME, at=now - 40 * DAY)
    purchasing.contest(story, paid, at=now - 30 * DAY, ends="lost", ends_at=now)
    return _bought(story, person["id"], paid, dispute="lost", active=False)


def dispute_won(story: Story, now: int) -> Expected:
    """A purchase is disputed and the bank sides with the shop."""
    person, paid = purchasing.buy(story, LIFETIME, at=now - 40 * DAY)
    purchasing.contest(story, paid, at=now - 30 * DAY, ends="won", ends_at=now)
    return _bought(story, person["id"], paid, dispute="won")


def async_payment(story: Story, now: int) -> Expected:
    """A bank debit: the checkout is complete four days before the money is there."""
    at = now - 4 * DAY
    person = arrive(story, at=at - 30)
    intent = purchasing.order(story, LIFETIME, customer_id=person["id"], at=at)
    charge = payments.charge(story.pen, intent, at=at + 2, status="pending", invoice_id=None)
    story.tell("charge.pending", charge, at=at + 2)
    intent = story.change("payment_intent.processing", intent, at=at + 2, status="processing")
    session = purchasing.purchase_session(
        story, LIFETIME, customer_id=person["id"], intent=intent, at=at
    ) | {"payment_status": "unpaid"}
    story.tell("checkout.session.completed", session, at=at + 3)
    charge = story.change("charge.succeeded", charge, at=now, status="succeeded", paid=True)
    paid = {"amount_received": LIFETIME.amount, "latest_charge": charge["id"]}
    story.change("payment_intent.succeeded", intent, at=now, status="succeeded", **paid)
    settled = {**session, "payment_status": "paid"}
    story.tell("checkout.session.async_payment_succeeded", settled, at=now)
    return _bought(story, person["id"], Payment(intent=intent, charge=charge))


def checkout_expired(story: Story, now: int) -> Expected:
    """Somebody opens a checkout and never pays."""
    at = now - DAY
    person = arrive(story, at=at)
    session = purchasing.purchase_session(
        story, LIFETIME, customer_id=person["id"], intent=None, at=at
    )
    expired = {**session, "payment_status": "unpaid", "status": "expired"}
    story.tell("checkout.session.expired", expired, at=now)
    return Expected(
        user_id=story.user_id, customer_id=person["id"], purchases={session["id"]: "expired"}
    )


def _bought(
    story: Story,
    customer_id: str,
    paid: Payment,
    *,
    refunded: int = 0,
    dispute: str | None = None,
    active: bool = True,
) -> Expected:
    payment = ExpectedPayment(
        payment_ref=paid.ref,
        amount_minor=paid.amount,
        amount_refunded_minor=refunded,
        dispute_status=dispute,
    )
    return Expected(
        user_id=story.user_id,
        customer_id=customer_id,
        grants=(granted(LIFETIME, source=paid.ref, active=active),),
        payments=(payment,),
        purchases={paid.ref: "paid"},
    )
