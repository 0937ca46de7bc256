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
from billing.readers.reader import Reader, facts_in

READERS: Mapping[str, Reader] = {
    **customers.EVENTS,
    **checkouts.EVENTS,
    **subscriptions.EVENTS,
    **invoices.EVENTS,
    **payment_intents.EVENTS,
    **charges.EVENTS,
    **entitlements.EVENTS,
}
HANDLED_TYPES = frozenset(READERS)

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
