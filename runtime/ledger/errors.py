"""Errors that the ledger raises on purpose.

LedgerError
 ├── IdentityConflict    one event id, two different events
 ├── LocksOutOfOrder     a lock turned out to be needed after a higher one was taken
 ├── ArchivesNeeded      events turned out to concern what was not loaded of their parties
 ├── DeadLetterChanged   an operator or a worker changed the dead letter of an event meanwhile
 ├── ObservationTaken    the API showed an object differently within one second
 ├── RealmExcluded       an object is of an account or a mode that does not count here
 ├── StatementRefused    what a person states cannot be true, or was taken back already
 ├── UnnamedEffect       a bulk plan would harm a user whom its preview did not name
 ├── FactsOutdated       readers of an earlier release wrote the facts of a party
 ├── CatalogueMissing    no plans have been applied yet
 └── SchemaOutdated      the database belongs to another release
"""

from collections.abc import Iterable, Mapping
from typing import Final

from billing.ids import PartyId

IDENTITY_CONFLICT: Final = "identity_conflict"
"""The error type of dead letters made from conflicts, whichever process found the conflict."""


class LedgerError(Exception):
    """The base class of all errors in this module."""


class IdentityConflict(LedgerError):
    """The id is settled with another type, account, mode or object; the first event stands."""

    def __init__(self, event_id: str) -> None:
        self.event_id = event_id
        super().__init__(
            f"event id {event_id} is already taken by an event with another type, account, mode"
            " or object, which stands; compare the two payloads, then discard this one"
        )


class UnnamedEffect(LedgerError):
    """An event of a bulk plan would harm users whom its preview did not name."""

    def __init__(self, event_id: str, plan: int, users: Iterable[str]) -> None:
        self.plan = plan
        named = ", ".join(users)
        super().__init__(
            f"{event_id} would take access from or move money of {named}, whom the preview of plan"
            f" {plan} did not name; replay it by itself if that is right"
        )


class LocksOutOfOrder(LedgerError):
    """Waiting for these locks now could deadlock, so the transaction was rolled back."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.keys = frozenset(keys)
        super().__init__(
            f"found too late that {', '.join(sorted(self.keys))} must be locked too;"
            " nothing was written, try again"
        )


class ArchivesNeeded(LedgerError):
    """Events concern archived payments that they do not name, so nothing was written.

    All archives of ``whole`` have to be loaded, those of ``changed`` now or in steps, and ``keys``
    are those of the archives of other parties.
    """

    def __init__(
        self,
        *,
        whole: frozenset[PartyId],
        changed: frozenset[PartyId] = frozenset(),
        keys: Mapping[PartyId, frozenset[str]] | None = None,
    ) -> None:
        self.whole = whole
        self.changed = changed
        self.keys = keys or {}
        named = ", ".join(sorted({*whole, *changed, *self.keys}))
        super().__init__(
            f"archives of {named} have to be loaded, too; nothing was written, try again"
        )


class DeadLetterChanged(LedgerError):
    """The dead letter of an event is not what it was when the transaction began."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"the dead letter of {key} changed while the event was decided;"
            " nothing was written, try again"
        )


class ObservationTaken(LedgerError):
    """Another answer of Stripe's API of the same second has this id, and says something else."""

    def __init__(self, observation_id: str) -> None:
        self.observation_id = observation_id
        super().__init__(
            f"{observation_id} is taken by another answer of the same second;"
            " nothing was written, ask again"
        )


class RealmExcluded(LedgerError):
    """An object that was observed is of an account or a mode that does not count here."""

    def __init__(self, realm: str) -> None:
        self.realm = realm
        super().__init__(
            f"{realm} does not count here, so nothing of it was recorded; PAIDUP_LIVEMODE and"
            " PAIDUP_CONNECT_ACCOUNTS say what counts"
        )


class StatementRefused(LedgerError):
    """A statement of a person was not recorded; ``subject`` is the id that it is about."""

    def __init__(self, subject: str, why: str) -> None:
        self.subject = subject
        super().__init__(f"{why}; nothing was recorded")


class FactsOutdated(LedgerError):
    """Earlier readers wrote facts of these parties, so nothing may be decided about them yet."""

    def __init__(self, parties: Iterable[PartyId]) -> None:
        self.parties = frozenset(parties)
        super().__init__(
            f"the events of {', '.join(sorted(self.parties))} wait to be read again by this"
            " release; a worker does it by itself, `paidup rebuild --outdated --reason WHY` at once"
        )


class CatalogueMissing(LedgerError):
    """There are no plans, so recording an event now would settle it without any entitlement."""

    def __init__(self) -> None:
        super().__init__("no plans have been applied yet; run `paidup migrate`")


class SchemaOutdated(LedgerError):
    """This process was built for another schema and does not touch this one; ``why`` says so."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
