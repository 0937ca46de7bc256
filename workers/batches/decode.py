"""Turn an inbox entry into a delivery for the ledger, or reject it with a disposition."""

from datetime import datetime
from typing import Final

from billing.errors import MalformedEvent
from billing.fetching.observations import Observations, observations_from_json
from runtime.event_body import parse
from runtime.inbox.entries import InboxEntry
from runtime.ledger.deliveries import STRIPE, Delivery, discard_undone_by, named_in
from runtime.time_limits import UNKNOWN_VERSION_SECONDS
from workers.batches.retry_policy import (
    ClaimHistory,
    MoveToDeadLetters,
    Snooze,
    disposition_of_crash_loop,
)

KNOWN_VERSIONS: Final = frozenset({1})


def read_delivery(entry: InboxEntry) -> Delivery | Snooze | MoveToDeadLetters:
    """Return the delivery to record, or the disposition of an event that must not run."""
    if entry.version not in KNOWN_VERSIONS:
        return Snooze(
            delay_seconds=UNKNOWN_VERSION_SECONDS,
            error=f"inbox entry of version {entry.version}: a worker of a newer release takes it",
        )
    if crash_loop := disposition_of_crash_loop(claim_history(entry)):
        return crash_loop
    try:
        envelope = parse(entry.body)
    except MalformedEvent as error:
        return MoveToDeadLetters(error_type=type(error).__name__, error=str(error))
    return Delivery(
        envelope=envelope,
        received_at=_first_received(entry),
        attempts=entry.attempts + 1,
        origin=entry.origin,
        key=entry.key,
        actor=str(entry.extra.get("actor", STRIPE)),
        reason=entry.extra.get("reason"),
        undoes_discard=discard_undone_by(entry.extra),
        named_in=named_in(entry.extra),
        observations=_imported_observations(entry),
    )


def _first_received(entry: InboxEntry) -> datetime:
    """Return when Stripe delivered it; an imported event was delivered to another database."""
    try:
        return datetime.fromisoformat(entry.extra["received_at"])
    except (KeyError, TypeError, ValueError):
        return entry.received_at


def _imported_observations(entry: InboxEntry) -> Observations | None:
    """Return what the API showed the exporting database, so that the event reads the same here."""
    documents = entry.extra.get("api_observations")
    return None if documents is None else observations_from_json(documents)


def claim_history(entry: InboxEntry) -> ClaimHistory:
    """Return the part of an entry that a disposition depends on."""
    return ClaimHistory(
        attempts=entry.attempts, crashes=entry.crashes, first_failed_at=entry.first_failed_at
    )


def event_type_of(body: bytes) -> str | None:
    """Return the event type, or None where the body is no event."""
    try:
        return parse(body).type
    except MalformedEvent:
        return None
