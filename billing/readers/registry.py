"""Every type of event that says something about access or money, and who reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from billing.envelope import Envelope, told_type
from billing.facts import Fact, Look
from billing.fetching.plan import EVENT, SUMMARY, errand_of, sightings
from billing.fetching.record import Fetched, Wanted
from billing.ids import ObjectKey
from billing.json_fields import Raw, table
from billing.readers import (
    charges,
    checkouts,
    customers,
    entitlements,
    invoices,
    payment_intents,
    subscriptions,
)
from billing.readers.reader import Reader, Told, facts_in, facts_seen

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

BY_FAMILY: Mapping[str, Reader] = {reader.stripe_name: reader for reader in READERS.values()}
_FAMILIES = frozenset(BY_FAMILY)
_ENDINGS = frozenset({"customer.deleted", "customer.subscription.deleted"})


class IgnoredBecause(StrEnum):
    """Why an event was recorded without stating anything."""

    UNKNOWN_TYPE = "unknown_type"
    NEEDS_API_KEY = "needs_api_key"
    WRONG_MODE = "wrong_mode"
    UNKNOWN_ACCOUNT = "unknown_account"
    NOTHING_STATED = "nothing_stated"
    OBJECT_GONE = "object_gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What an event states, or why it states nothing; never both and never neither."""

    facts: tuple[Fact, ...]
    ignored: IgnoredBecause | None


def read(envelope: Envelope, fetched: Fetched | None = None) -> Reading:
    """What an event states, in the same terms for every API version.

    ``fetched`` is what Stripe's API answered about it, which a thin event cannot do without.

    Raises:
        UnreadableEvent: the event is of a handled type and its object cannot be identified.
    """
    if envelope.thin:
        return _read_thin(envelope, fetched)
    reader = READERS.get(envelope.type)
    if reader is None:
        return _ignored(IgnoredBecause.UNKNOWN_TYPE)
    if _is_of_another_family(table(envelope.payload, "data", "object"), reader):
        return _ignored(IgnoredBecause.NOTHING_STATED)
    facts = facts_in(envelope, reader)
    if fetched is not None:
        facts = _with_looks(facts, _facts_fetched(envelope, fetched))
    return Reading(facts=facts, ignored=None) if facts else _ignored(IgnoredBecause.NOTHING_STATED)


def _read_thin(envelope: Envelope, fetched: Fetched | None) -> Reading:
    if fetched is None:
        return _ignored(IgnoredBecause.NEEDS_API_KEY)
    if facts := _facts_fetched(envelope, fetched):
        return Reading(facts=facts, ignored=None)
    if not errand_of(envelope):
        return _ignored(IgnoredBecause.UNKNOWN_TYPE)
    gone = any(sighting.raw is None for sighting in sightings(fetched))
    return _ignored(IgnoredBecause.OBJECT_GONE if gone else IgnoredBecause.NOTHING_STATED)


def _facts_fetched(envelope: Envelope, fetched: Fetched) -> tuple[Fact, ...]:
    facts: dict[ObjectKey, Fact] = {}
    for sighting in sightings(fetched):
        family = sighting.wanted.family
        reader = BY_FAMILY[SUMMARY if family == EVENT else family]
        raw = _stub(envelope, sighting.wanted) if sighting.raw is None else sighting.raw
        if raw is not None and _is_what_was_wanted(raw, reader, sighting.wanted):
            for fact in facts_seen(envelope, reader, raw, sighting.at):
                facts.setdefault(fact.object_key, fact)
    return tuple(facts.values())


def _stub(envelope: Envelope, wanted: Wanted) -> Raw | None:
    """An object that is gone, where the event says that it ended: then that much is known."""
    if told_type(envelope.type) not in _ENDINGS:
        return None
    return {"id": wanted.stripe_id, "object": wanted.family, "deleted": True}


def _is_what_was_wanted(raw: Raw, reader: Reader, wanted: Wanted) -> bool:
    if raw.get("object") != reader.stripe_name:
        return False
    return reader is BY_FAMILY[SUMMARY] or raw.get("id") == wanted.stripe_id


def _with_looks(facts: tuple[Fact, ...], seen: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """What a snapshot states, and beside it what was seen of the same objects later."""
    known = {fact.object_key: fact for fact in facts}
    for fact in seen:
        own = known.get(fact.object_key)
        known[fact.object_key] = fact if own is None else _looked_at(own, fact)
    return tuple(known.values())


def _looked_at(own: Fact, seen: Fact) -> Fact:
    return replace(
        own,
        customer_id=own.customer_id or seen.customer_id,
        mentions=tuple(dict.fromkeys((*own.mentions, *seen.mentions))),
        look=Look(at=seen.created_at, fields=seen.fields),
    )


def _ignored(because: IgnoredBecause) -> Reading:
    return Reading(facts=(), ignored=because)


def _is_of_another_family(stated: Raw, reader: Reader) -> bool:
    # A refund read as a charge would be money that nobody ever paid.
    named = stated.get("object")
    return isinstance(named, str) and named != reader.stripe_name and named in _FAMILIES
