"""Report each event: one log line and its metrics. No other module does."""

import structlog

from billing.envelope import snapshot_type
from billing.readers.registry import HANDLED_TYPES, IgnoredReason
from runtime.inbox.entries import InboxEntry, Lane
from runtime.ledger.deliveries import Settlement
from runtime.telemetry import OTHER, Metrics
from workers.batches.retry_policy import Finish, MoveToDeadLetters, Retry, Snooze


class Reporter:
    """Counts and logs dispositions after they were carried out."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        # Bound once: an unbound logger is built again for every line, even for a filtered one.
        self._log = structlog.get_logger(__name__).bind()

    def settled(self, entry: InboxEntry, finish: Finish) -> None:
        """Log the outcome of an event; operators search for this line."""
        settlement = finish.settlement
        # The two times come from two clocks, the database's and Redis', so cut off below 0.
        lag = max((settlement.applied_at - entry.received_at).total_seconds(), 0.0)
        self._metrics.event_processing_seconds.observe(finish.seconds)
        if settlement.hit:
            self._metrics.idempotent_hits.labels("worker").inc()
        elif settlement.completes:
            self._count_changes(settlement)
        else:
            # Nobody waits for a replay as for an event that just came.
            if entry.lane is not Lane.REPLAY:
                self._metrics.event_lag_seconds.observe(lag)
            self._count(settlement)
        self._log.info(
            "event settled",
            event_id=settlement.event_id,
            event_type=settlement.event_type,
            outcome=str(settlement.outcome),
            reason=settlement.reason,
            attempts=settlement.attempts,
            hit=settlement.hit,
            completes=settlement.completes,
            lag_seconds=round(lag, 3),
        )

    def deferred(self, entry: InboxEntry) -> None:
        """Log that an event waits in the fetch lane."""
        self._log.info("event waits for Stripe's API", event_id=entry.key)

    def parked(self, entry: InboxEntry, park: Snooze | Retry) -> None:
        """Log that an event waits for its next try."""
        charged = isinstance(park, Retry)
        self._log.info(
            "event parked",
            event_id=entry.key,
            error=park.error,
            charged=charged,
            attempts=entry.attempts + charged,
            delay_seconds=round(park.delay_seconds, 1),
        )

    def dead_lettered(self, entry: InboxEntry, dead: MoveToDeadLetters) -> None:
        """Log that an event is a dead letter and needs an operator."""
        self._log.error(
            "event moved to dead letters",
            event_id=entry.key,
            error_type=dead.error_type,
            error=dead.error,
            attempts=entry.attempts,
            crashes=entry.crashes,
        )

    def _count(self, settlement: Settlement) -> None:
        event_type = snapshot_type(settlement.event_type)
        event_type = event_type if event_type in HANDLED_TYPES else OTHER
        self._metrics.events_settled.labels(event_type, str(settlement.outcome)).inc()
        if settlement.reason == IgnoredReason.NEEDS_API_KEY:
            self._metrics.events_without_api_key.inc()
        self._count_changes(settlement)

    def _count_changes(self, settlement: Settlement) -> None:
        for change, number in settlement.changes.items():
            self._metrics.entitlement_changes.labels(change).inc(number)
