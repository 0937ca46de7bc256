"""Deliveries read into facts and checked against the mode and accounts of this deployment.

All of it happens before the transaction begins, so reading holds no locks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from billing.envelope import Envelope
from billing.errors import UnreadableEvent
from billing.facts import Fact
from billing.ids import ObjectKey, Realm
from billing.readers.registry import IgnoredReason, read_event
from billing.readers.search_terms import Term, terms_in
from runtime.ledger.admit import OpenDeadLetter
from runtime.ledger.deliveries import DISCARDED, Delivery
from runtime.settings import Livemode, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The mode and the Connect accounts whose events count; all other events are ignored."""

    livemode: Livemode
    accounts: frozenset[str]

    @classmethod
    def of(cls, settings: Settings) -> "Scope":
        """Return the scope of a deployment."""
        return cls(livemode=settings.effective_livemode(), accounts=settings.connect_accounts)

    def excludes(self, envelope: Envelope) -> IgnoredReason | None:
        """Return why an event is ignored, or None if it counts."""
        if not self._counts_mode(envelope.livemode):
            return IgnoredReason.WRONG_MODE
        if not envelope.owner_known:
            return IgnoredReason.UNKNOWN_CONTEXT
        if envelope.account is not None and envelope.account not in self.accounts:
            return IgnoredReason.UNKNOWN_ACCOUNT
        return None

    def counts(self, realm: Realm) -> bool:
        """Return True if what is of this account and mode counts."""
        mode, _, account = realm.partition("/")
        return self._counts_mode(mode == "live") and (not account or account in self.accounts)

    def _counts_mode(self, livemode: bool) -> bool:  # noqa: FBT001 - Stripe's own word
        return self.livemode == "any" or livemode == (self.livemode == "live")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A delivery with its facts, or the reason why it has none, or the error of reading it."""

    delivery: Delivery
    facts: tuple[Fact, ...] = ()
    ignored: str | None = None
    unreadable: UnreadableEvent | None = None
    terms: frozenset[Term] = frozenset()
    """Addresses, names and metadata, by which people look for the party."""

    @property
    def mentions(self) -> frozenset[ObjectKey]:
        """Every object the event names."""
        return frozenset(key for fact in self.facts for key in (fact.object_key, *fact.mentions))


def prepare(deliveries: Sequence[Delivery], scope: Scope) -> list[Prepared]:
    """Read every delivery; an unreadable one may be settled already, so nothing is raised."""
    return [_prepare(delivery, scope) for delivery in deliveries]


def without_discarded(prepared: Prepared, dead_letters: Mapping[str, OpenDeadLetter]) -> Prepared:
    """Return the delivery without facts if its dead letter was discarded and stays so."""
    dead_letter = dead_letters.get(prepared.delivery.key)
    if dead_letter is None or not dead_letter.stays_discarded(prepared.delivery):
        return prepared
    return replace(prepared, facts=(), ignored=DISCARDED, unreadable=None)


def _prepare(delivery: Delivery, scope: Scope) -> Prepared:
    if excluded := scope.excludes(delivery.envelope):
        return Prepared(delivery=delivery, ignored=excluded.value)
    try:
        reading = read_event(delivery.envelope, delivery.observations)
    except UnreadableEvent as error:
        return Prepared(delivery=delivery, unreadable=error)
    ignored = reading.ignored
    return Prepared(
        delivery=delivery,
        facts=reading.facts,
        ignored=ignored and ignored.value,
        terms=terms_in(delivery.envelope, delivery.observations) if reading.facts else frozenset(),
    )
