"""What workers tell about each event: one log line and its metrics, and nowhere else."""

import structlog

from billing.envelope import told_type
from billing.readers.registry import HANDLED_TYPES, IgnoredBecause
from runtime.inbox.entries import Entry
from runtime.ledger.deliveries import Settlement
from runtime.telemetry import OTHER, Metrics
from workers.drain.retry_policy import Bury, Finish, Park


class Reporter:
    """Counts and logs what became of events, after it became true."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        # Bound once: the one of a module is made anew for every line, filtered or not.
        self._log = structlog.get_logger(__name__).bind()

    def settled(self, entry: Entry, finish: Finish) -> None:
        """The line an operator looks for when asked what became of an event."""
        settlement = finish.settlement
        # Two clocks: the database's and Redis'.
        lag = max((settlement.applied_at - entry.received_at).total_seconds(), 0.0)
        self._metrics.event_processing_seconds.observe(finish.seconds)
        if settlement.hit:
            self._metrics.idempotent_hits.labels("worker").inc()
        elif settlement.completes:
            self._count_changes(settlement)
        else:
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

    def deferred(self, entry: Entry) -> None:
        """Stripe's API is to be asked about an event."""
        self._log.info("event waits to be fetched", event_id=entry.key)

    def parked(self, entry: Entry, park: Park) -> None:
        """An event waits for another try."""
        self._log.info(
            "event parked",
            event_id=entry.key,
            error=park.error,
            charged=park.charged,
            attempts=entry.attempts + park.charged,
            delay_seconds=round(park.delay_seconds, 1),
        )

    def buried(self, entry: Entry, bury: Bury) -> None:
        """An event is a dead letter now; a person has to look at it."""
        self._log.error(
            "event buried",
            event_id=entry.key,
            error_type=bury.error_type,
            error=bury.error,
            attempts=entry.attempts,
            crashes=entry.crashes,
        )

    def _count(self, settlement: Settlement) -> None:
        told = told_type(settlement.event_type)
        event_type = told if told in HANDLED_TYPES else OTHER
        self._metrics.events_settled.labels(event_type, str(settlement.outcome)).inc()
        if settlement.reason == IgnoredBecause.NEEDS_API_KEY:
            self._metrics.events_without_api_key.inc()
        self._count_changes(settlement)

    def _count_changes(self, settlement: Settlement) -> None:
        for change, number in settlement.changes.items():
            self._metrics.entitlement_changes.labels(change).inc(number)
