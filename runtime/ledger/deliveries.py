"""Input and output of the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from billing.envelope import Envelope
from billing.fetching.observations import Observations
from billing.fetching.record import FetchPlan
from billing.ids import EventId

STRIPE = "stripe"
"""The actor in the audit unless an operator replayed the event."""

REPLAY = "replay"
"""The origin of a delivery that an operator replayed."""


REPLAY_SETTLED = "replay.settled"
"""The audit action for the result of a replay; ``after`` holds outcome and reason."""


class Outcome(StrEnum):
    """The outcome of a settled event. A failure is no outcome: it settles nothing."""

    APPLIED = "applied"
    SUPERSEDED = "superseded"
    IGNORED = "ignored"


DISCARDED = "discarded"
"""The reason of an event whose dead letter an operator discarded."""


UNDOES_DISCARD: Final = "undoes_discard"
"""The key in the inbox under which a replay says which discard it undoes."""


def discard_undone_by(extra: Mapping[str, Any]) -> datetime | None:
    """Return the time of the discard that a replay undoes, from what the inbox holds beside it."""
    try:
        return datetime.fromisoformat(extra[UNDOES_DISCARD])
    except (KeyError, TypeError, ValueError):
        return None


NAMED_IN: Final = "named_in"
"""The key in the inbox under which a replay says which bulk plan names whom it may harm."""


def named_in(extra: Mapping[str, Any]) -> int | None:
    """Return the bulk plan whose preview has to name the users, from what the inbox holds."""
    plan = extra.get(NAMED_IN)
    return plan if isinstance(plan, int) else None


def superseded_by(event_id: EventId) -> str:
    """Return the reason of an event that changed nothing because this newer one was known."""
    return f"superseded by {event_id}"


ALREADY_APPLIED = "already applied"
"""The reason of a replay that stated nothing new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event as it was claimed from the inbox."""

    envelope: Envelope
    received_at: datetime
    attempts: int
    origin: str
    key: str
    """Its key in the inbox: the event id, with a fingerprint if two events share the id."""
    actor: str = STRIPE
    reason: str | None = None
    """The operator's reason for a replay."""
    undoes_discard: datetime | None = None
    """The time at which its dead letter had been discarded when an operator asked for the replay.

    A discard of another time came later, and the event stays discarded.
    """
    named_in: int | None = None
    """The bulk plan that has to name whom it takes access from, and whose money it moves."""
    observations: Observations | None = None
    """What Stripe's API showed for it, None if it was not asked. A replay uses what is stored."""

    @property
    def observation_ids(self) -> list[EventId] | None:
        """The ids of its observations, None if the API was not asked."""
        observed = self.observations
        return None if observed is None else sorted({each.id for each in observed})

    @property
    def statement_ids(self) -> frozenset[EventId]:
        """The ids under which its facts are stored: its own and those of its observations."""
        return frozenset([self.envelope.event_id, *(self.observation_ids or ())])

    @property
    def replayed(self) -> bool:
        """True if an operator replayed it."""
        return self.origin == REPLAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The result of one delivery; ``hit`` means that the event had been settled before."""

    key: str
    event_id: str
    fingerprint: str
    event_type: str
    outcome: Outcome
    reason: str | None
    applied_at: datetime
    attempts: int
    settlement: int
    database_epoch: str
    """The epoch of the database in the transaction that settled it or found it settled."""
    hit: bool
    changes: Mapping[str, int] = field(default_factory=dict)
    """Numbers of entitlements that were granted, changed and revoked."""
    pending_fetches: FetchPlan = ()
    """Objects that only Stripe's API can complete or decide; the rest of the event is applied."""
    completes: bool = False
    """The event had been settled before; this delivery stored what was fetched for it."""
