"""Names for the identifiers that travel through Paidup, so that no two of them are mixed up."""

from typing import NewType

EventId = NewType("EventId", str)
UserId = NewType("UserId", str)
CustomerId = NewType("CustomerId", str)
PlanCode = NewType("PlanCode", str)
PaymentRef = NewType("PaymentRef", str)

Realm = NewType("Realm", str)
"""Which Stripe account and mode an object lives in: ``live``, ``test``, ``live/acct_1``."""

ObjectKey = NewType("ObjectKey", str)
"""A Stripe object within its realm: ``test:sub_1``."""

PartyId = NewType("PartyId", str)
"""The group of objects that are locked, loaded and projected together, named by an object key."""


def realm_of(account: str | None, *, livemode: bool) -> Realm:
    """The realm of an event; Connect accounts and test mode never share facts with live ones."""
    mode = "live" if livemode else "test"
    return Realm(f"{mode}/{account}" if account else mode)


def object_key(realm: Realm, stripe_id: str) -> ObjectKey:
    """The key under which every fact of one Stripe object is filed."""
    return ObjectKey(f"{realm}:{stripe_id}")


def summary_key(realm: Realm, customer_id: str) -> ObjectKey:
    """The key of a customer's entitlement summary, which Stripe gives no id of its own."""
    return ObjectKey(f"{realm}:entitlements/{customer_id}")


def stripe_id_of(key: ObjectKey | PartyId) -> str:
    """The Stripe id inside a key, for rows and sentences that people read."""
    return key.split(":", 1)[1]


def realm_in(key: ObjectKey | PartyId) -> Realm:
    """The realm inside a key."""
    return Realm(key.split(":", 1)[0])
