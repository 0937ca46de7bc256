"""Deliveries as they enter the ledger: read, and held against what this deployment counts.

Everything here happens before the transaction begins, so that reading holds no locks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from billing.envelope import Envelope
from billing.errors import UnreadableEvent
from billing.facts import Fact
from billing.ids import ObjectKey
from billing.readers.registry import IgnoredBecause, read
from runtime.ledger.admit import OpenLetter
from runtime.ledger.deliveries import DISCARDED, Delivery

Livemode = Literal["live", "test", "any"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The mode and the Connect accounts whose events count; all others never grant."""

    livemode: Livemode
    accounts: frozenset[str]

    def excludes(self, envelope: Envelope) -> IgnoredBecause | None:
        """Why an event is none of ours, whoever signed it."""
        if self.livemode != "any" and envelope.livemode != (self.livemode == "live"):
            return IgnoredBecause.WRONG_MODE
        if envelope.account is not None and envelope.account not in self.accounts:
            return IgnoredBecause.UNKNOWN_ACCOUNT
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entering:
    """A delivery with what it states, or why it states nothing, or that nobody can tell."""

    delivery: Delivery
    facts: tuple[Fact, ...] = ()
    ignored: str | None = None
    unreadable: UnreadableEvent | None = None

    @property
    def mentions(self) -> frozenset[ObjectKey]:
        """Every object the event names."""
        return frozenset(key for fact in self.facts for key in (fact.object_key, *fact.mentions))


def enter(deliveries: Sequence[Delivery], scope: Scope) -> list[Entering]:
    """Read every delivery. One that cannot be read may be settled already, so nothing is raised."""
    return [_enter(delivery, scope) for delivery in deliveries]


def heed(entering: Entering, letters: Mapping[str, OpenLetter]) -> Entering:
    """An event whose dead letter was discarded states nothing until somebody replays it."""
    letter = letters.get(entering.delivery.key)
    if letter is None or letter.state != DISCARDED or entering.delivery.replayed:
        return entering
    return replace(entering, facts=(), ignored=DISCARDED, unreadable=None)


def _enter(delivery: Delivery, scope: Scope) -> Entering:
    if excluded := scope.excludes(delivery.envelope):
        return Entering(delivery=delivery, ignored=excluded.value)
    try:
        reading = read(delivery.envelope, delivery.fetched)
    except UnreadableEvent as error:
        return Entering(delivery=delivery, unreadable=error)
    ignored = reading.ignored
    return Entering(delivery=delivery, facts=reading.facts, ignored=ignored and ignored.value)
