"""Customers, their checkouts, and Stripe's own list of their features."""

import re
from collections.abc import Sequence

from ops.samples.scenario import DAY, ObjectBuilder
from ops.samples.unread_fields import JsonObject


def email_of(user_id: str) -> str:
    """Return the e-mail address of a user's customer, in the domain that is reserved for it."""
    return f"{re.sub(r'[^a-z0-9._-]', '-', user_id.lower())}@example.com"


def customer(builder: ObjectBuilder, *, user_id: str, at: int) -> JsonObject:
    """Build a customer with ``user_id`` in its metadata, where an application should put it."""
    return builder.build(
        "customer",
        id=builder.id("cus", 14),
        created=at,
        email=email_of(user_id),
        invoice_prefix=builder.id("", 8)[1:].upper(),
        metadata={"user_id": user_id},
    )


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
    **links: str | None,
) -> JsonObject:
    """Build a checkout; ``links`` are the ids it led to: payment_intent, subscription, invoice."""
    return builder.build(
        "checkout.session",
        id=builder.id("cs_test", 58),
        amount_subtotal=amount,
        amount_total=amount,
        client_reference_id=user_id,
        created=at,
        customer=customer_id,
        customer_details={"email": email_of(user_id), "name": "Ada Example", "tax_ids": []},
        expires_at=at + DAY,
        metadata={"user_id": user_id, **metadata},
        mode=mode,
        payment_method_collection="always" if mode == "subscription" else "if_required",
        payment_status=payment_status,
        status="complete",
        **links,
    )


def entitlement_summary(
    builder: ObjectBuilder, *, customer_id: str, lookup_keys: Sequence[str]
) -> JsonObject:
    """Build Stripe's own list of a customer's features; it has no id."""
    active = [
        builder.build(
            "entitlements.active_entitlement",
            id=builder.id("ent_test", 40),
            feature=f"feat_test_{key}",
            lookup_key=key,
        )
        for key in lookup_keys
    ]
    url = f"/v1/customer/{customer_id}/entitlements"
    return builder.build(
        "entitlements.active_entitlement_summary",
        customer=customer_id,
        entitlements={"object": "list", "data": active, "has_more": False, "url": url},
    )
