"""Customers, their checkouts, and Stripe's own list of their features."""

from collections.abc import Sequence

from ops.samples.emails import email_of
from ops.samples.scenario import ObjectBuilder
from ops.samples.unread_fields import JsonObject
from ops.samples.worlds.records import Customer, FeatureList, Session
from ops.samples.worlds.rendering import render


def customer(builder: ObjectBuilder, *, user_id: str, at: int) -> JsonObject:
    """Build a customer with ``user_id`` in its metadata, where an application should put it."""
    made = Customer(id=builder.id("cus", 14), created=at, metadata={"user_id": user_id})
    return render(made, builder.shape)


def checkout_session(
    builder: ObjectBuilder,
    *,
    customer_id: str | None,
    user_id: str,
    amount: int,
    at: int,
    mode: str,
    metadata: JsonObject,
    payment_status: str = "paid",
    payment_intent: str | None = None,
    subscription: str | None = None,
    invoice: str | None = None,
) -> JsonObject:
    """Build a checkout, with the payment, subscription and invoice that it led to."""
    session = Session(
        id=builder.id("cs_test", 58),
        created=at,
        mode=mode,
        status="complete",
        payment_status=payment_status,
        amount=amount,
        customer=customer_id,
        reference=user_id,
        metadata={"user_id": user_id, **metadata},
        intent=payment_intent,
        subscription=subscription,
        invoice=invoice,
        email=email_of(user_id),
    )
    return render(session, builder.shape)


def entitlement_summary(
    builder: ObjectBuilder, *, customer_id: str, lookup_keys: Sequence[str]
) -> JsonObject:
    """Build Stripe's own list of a customer's features; it has no id."""
    return render(FeatureList(customer=customer_id, keys=tuple(lookup_keys)), builder.shape)
