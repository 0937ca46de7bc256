"""What goes into the ledger and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from billing.envelope import Envelope
from billing.fetching.record import Fetched, Wanted
from billing.ids import EventId

STRIPE = "stripe"
"""Who is answerable for what a delivery changes, unless an operator replayed it."""

REPLAY = "replay"
"""The origin of a delivery that an operator sent through once more."""


REPLAY_SETTLED = "replay.settled"
"""The audit's word for what became of a replay; ``after`` holds its outcome and the reason."""


class Outcome(StrEnum):
    """What became of a settled event; failures are not outcomes, they settle nothing."""

    APPLIED = "applied"
    SUPERSEDED = "superseded"
    IGNORED = "ignored"


DISCARDED = "discarded"
"""The reason given for an event whose dead letter an operator discarded."""


def superseded_by(event_id: EventId) -> str:
    """The reason given for an event that changed nothing because this newer one was known."""
    return f"superseded by {event_id}"


ALREADY_APPLIED = "already applied"
"""The reason given for a replay that stated nothing new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event as it was claimed from the inbox."""

    envelope: Envelope
    received_at: datetime
    attempts: int
    origin: str
    key: str
    """Its name in the inbox: the event id, or another where two events share an id."""
    actor: str = STRIPE
    reason: str | None = None
    """Why the operator did so."""
    fetched: Fetched | None = None
    """What Stripe's API answered about it; a replay reads what is stored, if anything is."""

    @property
    def replayed(self) -> bool:
        """Whether an operator wants it settled once more."""
        return self.origin == REPLAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What became of one delivery; ``hit`` says that it had been settled before."""

    key: str
    event_id: str
    fingerprint: str
    event_type: str
    outcome: Outcome
    reason: str | None
    applied_at: datetime
    attempts: int
    settlement: int
    hit: bool
    changes: Mapping[str, int] = field(default_factory=dict)
    """How many entitlements were granted, changed and revoked."""
    errand: tuple[Wanted, ...] = ()
    """What only Stripe's API can complete or decide; everything else of the event is applied."""
    completes: bool = False
    """It had been settled, and what was fetched is beside it now."""
