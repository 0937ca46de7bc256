"""Every event type that bears on access or money, and its reader."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from billing.envelope import Envelope, snapshot_type
from billing.facts import Fact
from billing.fetching.observations import ApiObservation, Observations
from billing.fetching.plan import SUBSCRIPTION, SUMMARY, plan_fetches
from billing.ids import Realm
from billing.json_fields import Raw, object_in
from billing.readers import (
    charges,
    checkouts,
    credit_notes,
    customers,
    entitlements,
    invoices,
    payment_intents,
    subscriptions,
)
from billing.readers.reader import (
    STATED_BY_TYPE,
    EventType,
    Reader,
    facts_in,
    facts_observed,
    facts_stated_by_type,
)

EVENT_TYPES: Mapping[str, EventType] = {
    **customers.EVENTS,
    **checkouts.EVENTS,
    **subscriptions.EVENTS,
    **invoices.EVENTS,
    **payment_intents.EVENTS,
    **charges.EVENTS,
    **credit_notes.EVENTS,
    **entitlements.EVENTS,
}
READERS: Mapping[str, Reader] = {
    name: event_type.reader for name, event_type in EVENT_TYPES.items()
}
HANDLED_TYPES = frozenset(READERS)

REQUIRED_TYPES: Mapping[str, str] = {
    "customer.created": "a user whom only the customer's metadata names stays unknown",
    "customer.updated": "a customer that gets a user, or moves to another, is not noticed",
    "checkout.session.completed": (
        "what Checkout and payment links sell grants nothing until other events tell of it, and its"
        " buyer may stay unknown"
    ),
    "checkout.session.async_payment_succeeded": (
        "what is paid by a delayed method, such as a bank debit, waits for its payment intent"
    ),
    "checkout.session.async_payment_failed": "a delayed payment that failed stays pending",
    "customer.subscription.created": (
        "a subscription gives access only once it changes, or for the three days that its checkout"
        " stands in for it"
    ),
    "customer.subscription.updated": (
        "plan changes, renewals that fail and cancellations at the period's end are not noticed"
    ),
    "customer.subscription.deleted": "a subscription that has ended gives access for ever",
    "customer.subscription.paused": "a trial that ended without a payment method gives access",
    "customer.subscription.resumed": "a subscription that was resumed gives no access",
    "invoice.paid": (
        "one-off invoices and one-time lines grant nothing, and what is paid outside Stripe is no"
        " money"
    ),
    "invoice.payment_failed": (
        "days of grace begin with the first `past_due` snapshot, which may come later"
    ),
    "invoice_payment.paid": (
        "since 2025-03-31 nothing else links an invoice with its payment: both are matched by"
        " customer, amount and time, or counted twice if that fails"
    ),
    "payment_intent.succeeded": (
        "one-time payments without Checkout grant nothing, and what is captured later stays unpaid"
    ),
    "payment_intent.canceled": "an authorisation that was given up stays pending",
    "charge.succeeded": "charges without a payment intent are no money",
    "charge.captured": "a charge without a payment intent that is captured later is no money",
    "charge.failed": "a debit that the bank returns after weeks stays received",
    "charge.refunded": "refunds of endpoints older than 2024 are not noticed",
    "refund.created": "a refund counts only once `charge.refunded` tells of it",
    "refund.updated": "a refund that was pending may count too early, or not at all",
    "refund.failed": "a refund that the bank rejected still counts as money that went back",
    "charge.dispute.created": "an open dispute changes nothing, even if `[policy]` says `end`",
    "charge.dispute.updated": "a dispute that is decided before it is closed is noticed late",
    "charge.dispute.closed": "a dispute stays open: a lost one ends no purchase",
    "credit_note.created": "a line that was credited whole still counts as bought",
    "credit_note.voided": "a credit that was taken back still counts",
    "entitlements.active_entitlement_summary.updated": (
        "features that Stripe's own entitlements list are not granted"
    ),
}
"""The types that an endpoint must have, and what is lost without each."""

UNHANDLED_TYPES: Mapping[str, str] = {
    "product.*, price.*, plan.*": (
        "your `plans.toml` is the catalogue; every snapshot carries the names under which its"
        " item was sold"
    ),
    "invoice.upcoming": "a preview without an id, which Stripe never stored",
    "invoiceitem.*, quote.*, subscription_schedule.*": (
        "future changes; invoices and subscriptions state their results"
    ),
    "setup_intent.*, payment_method.*, customer.source.*": (
        "payment methods, not payments; they grant nothing"
    ),
    "customer.discount.*, coupon.*, promotion_code.*": (
        "invoices and checkouts state the final amount"
    ),
    "payout.*, transfer.*, balance.*, application_fee.*": (
        "your own account's money; no user pays or receives it"
    ),
    "radar.*, review.*": "suspicions; refunds and disputes state their results",
}
"""Families that readers of the list may miss, and the reason why they are not handled."""

BY_FAMILY: Mapping[str, Reader] = {reader.stripe_name: reader for reader in READERS.values()}
_FAMILIES = frozenset(BY_FAMILY)
_SUBSCRIPTION_ENDED = "customer.subscription.deleted"
_ENDINGS = frozenset({"customer.deleted", _SUBSCRIPTION_ENDED})


class IgnoredReason(StrEnum):
    """The reason why an event was recorded without any fact."""

    UNKNOWN_TYPE = "unknown_type"
    NEEDS_API_KEY = "needs_api_key"
    WRONG_MODE = "wrong_mode"
    UNKNOWN_ACCOUNT = "unknown_account"
    UNKNOWN_CONTEXT = "unknown_context"
    NOTHING_STATED = "nothing_stated"
    OBJECT_GONE = "object_gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The facts of an event, or the reason why it has none; never both."""

    facts: tuple[Fact, ...]
    ignored: IgnoredReason | None


def read_event(envelope: Envelope, observations: Observations | None = None) -> Reading:
    """Return the facts of an event, in the same terms for every API version.

    ``observations`` are what Stripe's API showed for it; their facts come after its own. A thin
    event states nothing without them. None means that the API was not asked.

    Raises:
        UnreadableEvent: the event is of a handled type but does not identify its object.
    """
    if envelope.thin:
        return _read_thin(envelope, observations)
    reader = READERS.get(envelope.type)
    if reader is None:
        return _ignored(IgnoredReason.UNKNOWN_TYPE)
    if _is_of_another_family(object_in(envelope.payload, "data", "object"), reader):
        return _ignored(IgnoredReason.NOTHING_STATED)
    facts = facts_in(envelope, reader)
    for each in observations or ():
        facts += read_observation(envelope.realm, each)
    return Reading(facts=facts, ignored=None) if facts else _ignored(IgnoredReason.NOTHING_STATED)


def read_observation(realm: Realm, observation: ApiObservation) -> tuple[Fact, ...]:
    """Return the facts of an object that Stripe's API showed; none if it was gone."""
    raw, reader = observation.raw, BY_FAMILY.get(observation.family)
    if raw is None or reader is None or not _is_of(observation, reader, raw):
        return ()
    return facts_observed(realm, observation, reader, raw)


def read_unasked(realm: Realm, observation: ApiObservation) -> tuple[Fact, ...]:
    """Return the facts of an object that Stripe's API showed without an event that asked for it.

    A subscription that is gone has ended. Nothing else that is gone says anything.
    """
    if observation.gone and observation.family == SUBSCRIPTION:
        ended = {"id": observation.object_id}
        reader = BY_FAMILY[SUBSCRIPTION]
        return facts_observed(realm, observation, reader, ended, read_as=_SUBSCRIPTION_ENDED)
    return read_observation(realm, observation)


def _read_thin(envelope: Envelope, observations: Observations | None) -> Reading:
    if observations is None:
        return _ignored(IgnoredReason.NEEDS_API_KEY)
    facts: tuple[Fact, ...] = ()
    for each in observations:
        facts += read_observation(envelope.realm, each)
    own = (_stated_by_event(envelope, each) for each in observations)
    if facts := facts + next(filter(None, own), ()):
        return Reading(facts=facts, ignored=None)
    if not plan_fetches(envelope):
        return _ignored(IgnoredReason.UNKNOWN_TYPE)
    gone = any(each.gone for each in observations)
    return _ignored(IgnoredReason.OBJECT_GONE if gone else IgnoredReason.NOTHING_STATED)


def _stated_by_event(envelope: Envelope, observation: ApiObservation) -> tuple[Fact, ...]:
    """Return what a thin event itself says: that something happened, or that its object ended."""
    reader, event_type = BY_FAMILY.get(observation.family), snapshot_type(envelope.type)
    raw = observation.raw
    if reader is None:
        return ()
    if raw is None:
        if event_type not in _ENDINGS:
            return ()
        ended = {"id": observation.object_id}
        return facts_stated_by_type(envelope, reader, ended, envelope.created_at)
    if event_type not in STATED_BY_TYPE or not _is_of(observation, reader, raw):
        return ()
    return facts_stated_by_type(envelope, reader, raw, observation.asked_at)


def _is_of(observation: ApiObservation, reader: Reader, raw: Raw) -> bool:
    if raw.get("object") != reader.stripe_name:
        return False
    return reader is BY_FAMILY[SUMMARY] or raw.get("id") == observation.object_id


def _ignored(because: IgnoredReason) -> Reading:
    return Reading(facts=(), ignored=because)


def _is_of_another_family(stated: Raw, reader: Reader) -> bool:
    # A refund read as a charge would count as a payment.
    named = stated.get("object")
    return isinstance(named, str) and named != reader.stripe_name and named in _FAMILIES
