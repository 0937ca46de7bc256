"""Ask Stripe's API about each event of the fetch lane, then record it with the answers.

    claim -> find targets -> ask, ask, ... -> record with the observations -> finish

While Stripe is asked, no transaction, lock or other event is open. If the process dies, the event
is still in the inbox. The next claim finds the committed observations in the database and asks only
for the rest.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from billing.envelope import Envelope
from billing.fetching.observations import join_observations
from billing.fetching.plan import next_request, observations_in, plan_fetches, too_early
from billing.fetching.record import ApiResponse, FetchPlan, FetchRecord
from billing.ids import EventId
from runtime.failures.classify import Infrastructure, Outdated, Permanent, Transient
from runtime.inbox.entries import InboxEntry
from runtime.ledger.deliveries import Delivery
from runtime.ledger.observed import StoredFetches
from runtime.stripe_api.errors import (
    ApiAway,
    ApiFailure,
    ApiForbidden,
    ApiLimited,
    ApiRefused,
    RateReached,
)
from runtime.telemetry import Metrics
from runtime.time_limits import API_AWAY_SECONDS, API_FORBIDDEN_SECONDS, MAX_FETCH_SECONDS
from workers.batches.decode import claim_history, read_delivery
from workers.batches.executor import BatchExecutor, BatchResult, EventDisposition
from workers.batches.retry_policy import (
    Disposition,
    Failed,
    Release,
    Snooze,
    disposition_after,
)
from workers.ports import ApiHealth

log = structlog.get_logger(__name__)

AskApi = Callable[[str, Envelope], ApiResponse]
"""Return the object at a path, in the account of the event; raises ``ApiFailure``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchExecutor:
    """Executes claims of the fetch lane; ``executor`` records, as it does for other lanes."""

    executor: BatchExecutor
    stored_fetches: Callable[[EventId], StoredFetches]
    ask: AskApi
    health: ApiHealth
    metrics: Metrics

    def execute(
        self, entries: Sequence[InboxEntry], is_stopping: Callable[[], bool]
    ) -> BatchResult:
        """Return one disposition for each entry; a stop before its first request releases it."""
        result = BatchResult(dispositions=())
        for entry in entries:
            match read_delivery(entry):
                case Delivery() as delivery:
                    result += self._fetch_and_record(entry, delivery, is_stopping)
                case disposition:
                    result += _one(entry, disposition)
        return result

    def _fetch_and_record(
        self, entry: InboxEntry, delivery: Delivery, is_stopping: Callable[[], bool]
    ) -> BatchResult:
        try:
            stored = self.stored_fetches(delivery.envelope.event_id)
        except Exception as error:  # noqa: BLE001 - every error becomes a disposition
            return self._not_recorded(entry, error)
        try:
            fetched = self._fetch(delivery.envelope, _targets(delivery, stored), is_stopping)
        except ApiFailure as failure:
            return _one(entry, self._after_api_failure(entry, failure))
        if fetched is None:
            return _one(entry, Release())
        if too_early(fetched):
            return _one(entry, self._after_early_answer(entry))
        if fetched.targets:
            observed = join_observations(stored.observations or (), observations_in(fetched))
            delivery = replace(delivery, observations=observed)
        return self.executor.record_together([(entry, delivery)], is_stopping)

    def _fetch(
        self, envelope: Envelope, targets: FetchPlan, is_stopping: Callable[[], bool]
    ) -> FetchRecord | None:
        """Return every answer that is needed, or None if a stop came before the first one."""
        fetched = FetchRecord(targets=targets)
        ends_at = time.monotonic() + MAX_FETCH_SECONDS
        while (request := next_request(fetched)) is not None:
            if is_stopping() and not fetched.responses:
                return None
            if time.monotonic() > ends_at:
                raise ApiAway(f"the answers took more than {MAX_FETCH_SECONDS:.0f} s together")
            fetched = fetched.with_response(self._ask_once(request, envelope))
        if fetched.responses:
            self.health.succeeded()
        return fetched

    def _ask_once(self, request: str, envelope: Envelope) -> ApiResponse:
        started = time.perf_counter()
        try:
            response = self.ask(request, envelope)
        except ApiFailure as failure:
            self._count(_RESULTS[type(failure)], started)
            raise
        self._count("gone" if response.gone else "answered", started)
        return response

    def _count(self, result: str, started: float) -> None:
        self.metrics.fetches.labels(result).inc()
        self.metrics.fetch_seconds.observe(time.perf_counter() - started)

    def _after_api_failure(self, entry: InboxEntry, failure: ApiFailure) -> Failed:
        """Pause the lane if the failure concerns every event; return this event's disposition."""
        match failure:
            case ApiLimited():
                if self.health.pause(str(failure), failure.seconds):
                    log.warning("fetching pauses", reason=str(failure))
                return _snooze(failure, failure.seconds * (1 + self.executor.chance() / 2))
            case ApiForbidden():
                if self.health.pause(str(failure), API_FORBIDDEN_SECONDS):
                    log.critical("fetching stops until the API key is fixed", reason=str(failure))
                return _snooze(failure, API_FORBIDDEN_SECONDS)
            case ApiAway():
                return self._after_outage(entry, failure)
            case ApiRefused():
                # Stripe did answer; requests of other events may succeed.
                self.health.succeeded()
                return self._failed(entry, Permanent, failure)
            case _:
                raise failure

    def _after_outage(self, entry: InboxEntry, failure: ApiAway) -> Failed:
        """Return a retry if other events were answered since this one failed, else a snooze."""
        answered_at = self.health.succeeded_at()
        failed_at = entry.last_failed_at
        others = answered_at is not None and failed_at is not None and answered_at > failed_at
        if self.health.failed(str(failure)):
            log.warning("fetching pauses", reason=str(failure))
        if others:
            return self._failed(entry, Transient, failure)
        return _snooze(failure, API_AWAY_SECONDS * (1 + self.executor.chance()))

    def _after_early_answer(self, entry: InboxEntry) -> Failed:
        """Return a retry: Stripe answered within the second that the answer must be later than."""
        return self._failed(entry, Transient, ApiAway("the answer is of the second in question"))

    def _failed(
        self, entry: InboxEntry, kind: type[Transient | Permanent], failure: ApiFailure
    ) -> Failed:
        return disposition_after(
            kind(error_type=type(failure).__name__, reason=str(failure)),
            claim_history(entry),
            now=self.executor.now(),
            chance=self.executor.chance(),
        )

    def _not_recorded(self, entry: InboxEntry, error: Exception) -> BatchResult:
        failure = self.executor.cause_of(error)
        disposition = disposition_after(
            failure,
            claim_history(entry),
            now=self.executor.now(),
            chance=self.executor.chance(),
        )
        halted_by = failure if isinstance(failure, Infrastructure | Outdated) else None
        return replace(_one(entry, disposition), halted_by=halted_by)


_RESULTS: Final[dict[type[ApiFailure], str]] = {
    ApiLimited: "limited",
    RateReached: "limited",
    ApiAway: "away",
    ApiForbidden: "forbidden",
    ApiRefused: "refused",
}


def _targets(delivery: Delivery, stored: StoredFetches) -> FetchPlan:
    """Return the open targets; what was observed before is kept and not asked for again."""
    if stored.pending or stored.observations is not None:
        return stored.pending
    return plan_fetches(delivery.envelope)


def _one(entry: InboxEntry, disposition: Disposition) -> BatchResult:
    return BatchResult(dispositions=(EventDisposition(entry=entry, disposition=disposition),))


def _snooze(failure: ApiFailure, seconds: float) -> Snooze:
    return Snooze(delay_seconds=seconds, error=f"{type(failure).__name__}: {failure}")
