"""Lifecycles of one-time purchases, each with the state it must end in."""

from ops.samples.builders import customers, payments
from ops.samples.lifecycles.expected import Expected, ExpectedPayment, granted
from ops.samples.sample_plans import LIFETIME, MONTHLY
from ops.samples.scenario import DAY, Scenario
from ops.samples.steps import purchases
from ops.samples.steps.invoices import PaymentAttempt
from ops.samples.steps.subscriptions import arrive


def paid_checkout(scenario: Scenario, now: int) -> Expected:
    """Record a single event, a paid checkout for a plan, as if the endpoint got nothing else."""
    intent = scenario.builder.id("pi")
    session = customers.checkout_session(
        scenario.builder,
        customer_id=None,
        user_id=scenario.user_id,
        amount=MONTHLY.amount,
        at=now,
        mode="payment",
        metadata={"plan_code": MONTHLY.plan_code},
        payment_intent=intent,
    )
    scenario.emit("checkout.session.completed", session, at=now)
    return Expected(
        user_id=scenario.user_id,
        customer_id=None,
        grants=(granted(MONTHLY, source=intent),),
        payments=(ExpectedPayment(payment_ref=intent, amount_minor=MONTHLY.amount),),
        purchases={intent: "paid"},
    )


def onetime(scenario: Scenario, now: int) -> Expected:
    """Record a one-time purchase that is paid at once."""
    person, paid = purchases.buy(scenario, LIFETIME, at=now - 3)
    return _bought(scenario, person["id"], paid)


def refund_full(scenario: Scenario, now: int) -> Expected:
    """Record a purchase that is refunded in full."""
    person, paid = purchases.buy(scenario, LIFETIME, at=now - 3 * DAY)
    purchases.refund(scenario, paid, amount=LIFETIME.amount, at=now - 1)
    return _bought(scenario, person["id"], paid, refunded=LIFETIME.amount, active=False)


def refund_partial(scenario: Scenario, now: int) -> Expected:
    """Record a partial refund, which by policy keeps access."""
    person, paid = purchases.buy(scenario, LIFETIME, at=now - 3 * DAY)
    purchases.refund(scenario, paid, amount=4000, at=now - 1)
    return _bought(scenario, person["id"], paid, refunded=4000)


def dispute_lost(scenario: Scenario, now: int) -> Expected:
    """Record a dispute that the cardholder wins."""
    person, paid = purchases.buy(scenario, LIFETIME, at=now - 40 * DAY)
    purchases.dispute_charge(scenario, paid, at=now - 30 * DAY, ends="lost", ends_at=now)
    return _bought(scenario, person["id"], paid, dispute="lost", active=False)


def dispute_won(scenario: Scenario, now: int) -> Expected:
    """Record a dispute that the shop wins."""
    person, paid = purchases.buy(scenario, LIFETIME, at=now - 40 * DAY)
    purchases.dispute_charge(scenario, paid, at=now - 30 * DAY, ends="won", ends_at=now)
    return _bought(scenario, person["id"], paid, dispute="won")


def async_payment(scenario: Scenario, now: int) -> Expected:
    """Record a bank debit: the checkout is complete four days before the money arrives."""
    at = now - 4 * DAY
    person = arrive(scenario, at=at - 30)
    intent = purchases.order(scenario, LIFETIME, customer_id=person["id"], at=at)
    charge = payments.charge(scenario.builder, intent, at=at + 2, status="pending", invoice_id=None)
    scenario.emit("charge.pending", charge, at=at + 2)
    intent = scenario.change("payment_intent.processing", intent, at=at + 2, status="processing")
    session = purchases.purchase_session(
        scenario, LIFETIME, customer_id=person["id"], intent=intent, at=at
    ) | {"payment_status": "unpaid"}
    scenario.emit("checkout.session.completed", session, at=at + 3)
    charge = scenario.change("charge.succeeded", charge, at=now, status="succeeded", paid=True)
    paid = {"amount_received": LIFETIME.amount, "latest_charge": charge["id"]}
    scenario.change("payment_intent.succeeded", intent, at=now, status="succeeded", **paid)
    settled = {**session, "payment_status": "paid"}
    scenario.emit("checkout.session.async_payment_succeeded", settled, at=now)
    return _bought(scenario, person["id"], PaymentAttempt(intent=intent, charge=charge))


def checkout_expired(scenario: Scenario, now: int) -> Expected:
    """Record a checkout that expires unpaid."""
    at = now - DAY
    person = arrive(scenario, at=at)
    session = purchases.purchase_session(
        scenario, LIFETIME, customer_id=person["id"], intent=None, at=at
    )
    expired = {**session, "payment_status": "unpaid", "status": "expired"}
    scenario.emit("checkout.session.expired", expired, at=now)
    return Expected(
        user_id=scenario.user_id, customer_id=person["id"], purchases={session["id"]: "expired"}
    )


def _bought(
    scenario: Scenario,
    customer_id: str,
    paid: PaymentAttempt,
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
        user_id=scenario.user_id,
        customer_id=customer_id,
        grants=(granted(LIFETIME, source=paid.ref, active=active),),
        payments=(payment,),
        purchases={paid.ref: "paid"},
    )
