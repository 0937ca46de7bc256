"""Every type of event that says something about access or money, and who reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from billing.envelope import Envelope
from billing.facts import Fact
from billing.readers import (
    charges,
    checkouts,
    customers,
    entitlements,
    invoices,
    payment_intents,
    subscriptions,
)
from billing.readers.raw import table
from billing.readers.reader import Reader, Told, facts_in

TOLD: Mapping[str, Told] = {
    **customers.EVENTS,
    **checkouts.EVENTS,
    **subscriptions.EVENTS,
    **invoices.EVENTS,
    **payment_intents.EVENTS,
    **charges.EVENTS,
    **entitlements.EVENTS,
}
READERS: Mapping[str, Reader] = {name: told.reader for name, told in TOLD.items()}
HANDLED_TYPES = frozenset(READERS)

PASSED_OVER: Mapping[str, str] = {
    "credit_note.*": (
        "before payment it lowers what its invoice asks for, which the invoice says; after payment"
        " it is money only as a refund, of which `refund.*` and `charge.refunded` tell. Credited"
        " to the customer's balance it is no money back"
    ),
    "product.*, price.*, plan.*": (
        "the catalogue of record is yours; what was sold is told by the names it had when it was"
        " sold, which every snapshot carries"
    ),
    "invoice.upcoming": "a preview without an id, which Stripe never stored",
    "invoiceitem.*, quote.*, subscription_schedule.*": (
        "plans for the future; what comes of them is told by invoices and subscriptions"
    ),
    "setup_intent.*, payment_method.*, customer.source.*": (
        "ways to pay, not payments; they grant nothing"
    ),
    "customer.discount.*, coupon.*, promotion_code.*": (
        "what is asked for in the end stands on invoices and checkouts"
    ),
    "payout.*, transfer.*, balance.*, application_fee.*": (
        "your own account's money, which no user paid and no user gets"
    ),
    "radar.*, review.*": "suspicions; what comes of them is told by refunds and disputes",
}
"""Families that people look for among the handled ones, and why they are not there."""

_FAMILIES = frozenset(reader.stripe_name for reader in READERS.values())


class IgnoredBecause(StrEnum):
    """Why an event was recorded without stating anything."""

    UNKNOWN_TYPE = "unknown_type"
    NEEDS_API_KEY = "needs_api_key"
    WRONG_MODE = "wrong_mode"
    UNKNOWN_ACCOUNT = "unknown_account"
    NOTHING_STATED = "nothing_stated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What an event states, or why it states nothing; never both and never neither."""

    facts: tuple[Fact, ...]
    ignored: IgnoredBecause | None


def read(envelope: Envelope) -> Reading:
    """What an event states, in the same terms for every API version.

    Raises:
        UnreadableEvent: the event is of a handled type and its object cannot be identified.
    """
    if envelope.thin:
        return _ignored(IgnoredBecause.NEEDS_API_KEY)
    reader = READERS.get(envelope.type)
    if reader is None:
        return _ignored(IgnoredBecause.UNKNOWN_TYPE)
    if _is_of_another_family(envelope, reader):
        return _ignored(IgnoredBecause.NOTHING_STATED)
    facts = facts_in(envelope, reader)
    return Reading(facts=facts, ignored=None) if facts else _ignored(IgnoredBecause.NOTHING_STATED)


def _ignored(because: IgnoredBecause) -> Reading:
    return Reading(facts=(), ignored=because)


def _is_of_another_family(envelope: Envelope, reader: Reader) -> bool:
    # A refund read as a charge would be money that nobody ever paid.
    named = table(envelope.payload, "data", "object").get("object")
    return isinstance(named, str) and named != reader.stripe_name and named in _FAMILIES
