"""Distinct types for the identifiers in Paidup, so that mypy finds a mix-up."""

from typing import NewType

EventId = NewType("EventId", str)
UserId = NewType("UserId", str)
CustomerId = NewType("CustomerId", str)
PlanCode = NewType("PlanCode", str)
PaymentRef = NewType("PaymentRef", str)

Realm = NewType("Realm", str)
"""The Stripe account and mode of an object: ``live``, ``test``, ``live/acct_1``."""

ObjectKey = NewType("ObjectKey", str)
"""A Stripe object within its realm: ``test:sub_1``."""

PartyId = NewType("PartyId", str)
"""A group of objects that are locked, loaded and projected together, named by an object key."""

EVERY_REALM = Realm("any")
"""The realm of what a person grants in every account and mode."""


def realm_of(account: str | None, *, livemode: bool) -> Realm:
    """Return the realm of an event. Accounts and modes never share facts."""
    mode = "live" if livemode else "test"
    return Realm(f"{mode}/{account}" if account else mode)


def object_key(realm: Realm, stripe_id: str) -> ObjectKey:
    """Return the key of a Stripe object, under which all its facts are stored."""
    return ObjectKey(f"{realm}:{stripe_id}")


def summary_key(realm: Realm, customer_id: str) -> ObjectKey:
    """Return the key of a customer's entitlement summary, which has no id at Stripe."""
    return ObjectKey(f"{realm}:entitlements/{customer_id}")


def stripe_id_of(key: ObjectKey | PartyId) -> str:
    """Return the Stripe id in a key, for rows and messages."""
    return key.partition(":")[2]


def realm_in(key: ObjectKey | PartyId) -> Realm:
    """Return the realm in a key."""
    return Realm(key.partition(":")[0])
