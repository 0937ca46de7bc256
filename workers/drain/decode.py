"""From an inbox entry to a delivery the ledger can record, or to the verdict that it cannot."""

from datetime import datetime
from typing import Final

from billing.errors import MalformedEvent
from billing.fetching.record import Fetched
from runtime.event_body import parse
from runtime.inbox.entries import Entry
from runtime.ledger.deliveries import STRIPE, Delivery
from workers.drain.retry_policy import Bury, History, Park, judge_crashes

KNOWN_VERSIONS: Final = frozenset({1})
STRANGE_VERSION_SECONDS: Final = 60.0


def read(entry: Entry) -> Delivery | Park | Bury:
    """What the ledger is to record; an event that must not be run comes back as its verdict."""
    if entry.version not in KNOWN_VERSIONS:
        return Park(
            delay_seconds=STRANGE_VERSION_SECONDS,
            charged=False,
            error=f"inbox entry of version {entry.version}: a worker of its release will take it",
        )
    if burial := judge_crashes(history_of(entry)):
        return burial
    try:
        envelope = parse(entry.body)
    except MalformedEvent as error:
        return Bury(error_type=type(error).__name__, error=str(error))
    return Delivery(
        envelope=envelope,
        received_at=_first_received(entry),
        attempts=entry.attempts + 1,
        origin=entry.origin,
        key=entry.key,
        actor=str(entry.extra.get("actor", STRIPE)),
        reason=entry.extra.get("reason"),
        fetched=_fetched_before(entry),
    )


def _first_received(entry: Entry) -> datetime:
    """When Stripe delivered it, be it to another database from whose export it came."""
    try:
        return datetime.fromisoformat(entry.extra["received_at"])
    except (KeyError, TypeError, ValueError):
        return entry.received_at


def _fetched_before(entry: Entry) -> Fetched | None:
    """What another database had fetched for it, so that it is read here as it was read there."""
    text = entry.extra.get("fetched")
    return Fetched.from_text(text) if isinstance(text, str) else None


def history_of(entry: Entry) -> History:
    """The part of an entry that verdicts are made of."""
    return History(
        attempts=entry.attempts, crashes=entry.crashes, first_failed_at=entry.first_failed_at
    )


def type_of(body: bytes) -> str | None:
    """The event type in a body that may be none; a dead letter is easier to find by it."""
    try:
        return parse(body).type
    except MalformedEvent:
        return None
