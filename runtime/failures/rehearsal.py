"""Make what a rehearsal writes and rolls back: the delivery of an event, and its dead letter."""

from datetime import UTC, datetime

from runtime.event_body import parse
from runtime.failures.dead_letters import DeadLetterDraft
from runtime.ledger.deliveries import STRIPE, Delivery


def make_delivery(body: bytes) -> Delivery:
    """Return the first delivery of an event, received now."""
    envelope = parse(body)
    return Delivery(
        envelope=envelope,
        received_at=datetime.now(UTC),
        attempts=1,
        origin=STRIPE,
        key=envelope.event_id,
    )


def make_draft(delivery: Delivery, key: str, *, error: str) -> DeadLetterDraft:
    """Return a dead letter of a delivery under a key; ``error`` names the rehearsal."""
    return DeadLetterDraft(
        key=key,
        event_type=delivery.envelope.type,
        body=delivery.envelope.body,
        error_type=error,
        error=error,
        attempts=delivery.attempts,
        origin=delivery.origin,
        received_at=delivery.received_at,
        first_failed_at=delivery.received_at,
        failed_at=delivery.received_at,
    )
