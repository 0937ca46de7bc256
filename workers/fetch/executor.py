"""Events of the lane ``fetch``: asked for at Stripe's API one by one, then recorded one by one.

    claim -> what is wanted? -> ask, ask, ... -> record with the answers -> finish

Nothing is open while Stripe is asked: no transaction, no lock, no other event. Whatever ends the
process, the event is in the inbox; who claims it next finds in the database what was committed,
and asks only for what was not.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

import structlog

from billing.envelope import Envelope
from billing.fetching.plan import errand_of, next_request, too_early
from billing.fetching.record import GONE, Answer, Fetched, Wanted, joined
from billing.ids import EventId
from runtime.failures.classify import Infrastructure, Outdated, Permanent, Transient, classify
from runtime.inbox.entries import Claim, Entry
from runtime.inbox.fetch_lane import FetchLane
from runtime.ledger.deliveries import Delivery
from runtime.ledger.fetched import Errand
from runtime.stripe_api.errors import ApiAway, ApiFailure, ApiForbidden, ApiLimited, ApiRefused
from runtime.telemetry import Metrics
from workers import ports
from workers.drain.decode import history_of, read
from workers.drain.executor import Applied, Applier, Decided
from workers.drain.retry_policy import AWAY_SECONDS, Bury, GiveBack, Park, Verdict, judge

log = structlog.get_logger(__name__)

LONGEST_ERRAND_SECONDS: Final = 30.0
"""For all requests of one event; a worker that takes much longer is killed as hanging."""

FORBIDDEN_SECONDS: Final = 60.0
"""How long nobody asks with a key that Stripe refuses; an operator is called meanwhile."""


class Api(Protocol):
    """Stripe's API."""

    def ask(self, request: str, envelope: Envelope) -> Answer:
        """Get what is at a path, in the account that the event is of."""
        ...


class Errands(Protocol):
    """The ledger, as far as it knows what is to be fetched."""

    def errand_of(self, event_id: EventId) -> Errand:
        """What a settled event still wants, and what it got before."""
        ...


class Health(Protocol):
    """What is remembered of the API by all workers together."""

    def succeeded(self) -> None:
        """It answered."""
        ...

    def failed(self, reason: str) -> bool:
        """It did not; True if that opened the breaker."""
        ...

    def rest(self, reason: str, seconds: float) -> bool:
        """It must not be asked for so long; True if that opened the breaker."""
        ...

    def succeeded_at(self) -> datetime | None:
        """When it answered last."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchingApplier:
    """Applies what a claim of the lane holds; ``applier`` is what records, as for other lanes."""

    applier: Applier
    ledger: Errands
    api: Api
    health: Health
    metrics: Metrics

    def apply(self, entries: Sequence[Entry], *, may_go_on: Callable[[], bool]) -> Applied:
        """One verdict for each entry; a stop between two requests gives the event back."""
        applied = Applied(decided=())
        for entry in entries:
            applied += self._apply(entry, may_go_on)
        return applied

    def _apply(self, entry: Entry, may_go_on: Callable[[], bool]) -> Applied:
        match read(entry):
            case Delivery() as delivery:
                return self._with_answers(entry, delivery, may_go_on)
            case verdict:
                return _one(entry, verdict)

    def _with_answers(
        self, entry: Entry, delivery: Delivery, may_go_on: Callable[[], bool]
    ) -> Applied:
        try:
            errand = self.ledger.errand_of(delivery.envelope.event_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, it becomes a verdict
            return self._not_recorded(entry, error)
        try:
            fetched = self._fetch(delivery.envelope, _wanted(delivery, errand), may_go_on)
        except ApiFailure as failure:
            return _one(entry, self._heed(entry, failure))
        if fetched is None:
            return _one(entry, GiveBack())
        if too_early(fetched):
            return _one(entry, self._later(entry))
        known = fetched if fetched.wanted else delivery.fetched
        return self.applier.together([(entry, replace(delivery, fetched=known))], may_go_on)

    def _fetch(
        self, envelope: Envelope, wanted: tuple[Wanted, ...], may_go_on: Callable[[], bool]
    ) -> Fetched | None:
        """Every answer that is needed, or None where a stop came first."""
        fetched = Fetched(wanted=wanted)
        ends_at = time.monotonic() + LONGEST_ERRAND_SECONDS
        while (request := next_request(fetched)) is not None:
            if not may_go_on() and not fetched.answers:
                return None
            if time.monotonic() > ends_at:
                raise ApiAway(f"the answers took more than {LONGEST_ERRAND_SECONDS:.0f} s together")
            fetched = fetched.with_answer(self._ask(request, envelope))
        if fetched.answers:
            self.health.succeeded()
        return fetched

    def _ask(self, request: str, envelope: Envelope) -> Answer:
        began = time.perf_counter()
        try:
            answer = self.api.ask(request, envelope)
        except ApiFailure as failure:
            self._count(_RESULTS[type(failure)], began)
            raise
        self._count("gone" if answer.status == GONE else "answered", began)
        return answer

    def _count(self, result: str, began: float) -> None:
        self.metrics.fetches.labels(result).inc()
        self.metrics.fetch_seconds.observe(time.perf_counter() - began)

    def _heed(self, entry: Entry, failure: ApiFailure) -> Park | Bury:
        """What a failure means for everybody, and for the event that met it."""
        match failure:
            case ApiLimited():
                _tell(opened=self.health.rest(str(failure), failure.seconds), failure=failure)
                return _park(failure, failure.seconds * (1 + self.applier.chance() / 2))
            case ApiForbidden():
                _alarm(opened=self.health.rest(str(failure), FORBIDDEN_SECONDS), failure=failure)
                return _park(failure, FORBIDDEN_SECONDS)
            case ApiAway():
                return self._away(entry, failure)
            case ApiRefused():
                # It did answer, and others may well be answered.
                self.health.succeeded()
                return self._judged(entry, Permanent, failure)
            case _:
                raise failure

    def _away(self, entry: Entry, failure: ApiAway) -> Park | Bury:
        """An outage charges nobody. An event that fails while others are answered is charged."""
        answered_at = self.health.succeeded_at()
        failed_at = entry.last_failed_at
        others = answered_at is not None and failed_at is not None and answered_at > failed_at
        _tell(opened=self.health.failed(str(failure)), failure=failure)
        if others:
            return self._judged(entry, Transient, failure)
        return _park(failure, AWAY_SECONDS * (1 + self.applier.chance()))

    def _later(self, entry: Entry) -> Park | Bury:
        """The second that is to be decided was not over at Stripe; soon it will be."""
        return self._judged(entry, Transient, ApiAway("the answer is of the second in question"))

    def _judged(
        self, entry: Entry, kind: type[Transient | Permanent], failure: ApiFailure
    ) -> Park | Bury:
        what = kind(error_type=type(failure).__name__, reason=str(failure))
        applier = self.applier
        return judge(what, history_of(entry), now=applier.now(), chance=applier.chance())

    def _not_recorded(self, entry: Entry, error: Exception) -> Applied:
        failure = classify(error)
        applier = self.applier
        verdict = judge(failure, history_of(entry), now=applier.now(), chance=applier.chance())
        halts = failure if isinstance(failure, Infrastructure | Outdated) else None
        return Applied(decided=(Decided(entry=entry, verdict=verdict),), halted_by=halts)


_RESULTS: Final[dict[type[ApiFailure], str]] = {
    ApiLimited: "limited",
    ApiAway: "away",
    ApiForbidden: "forbidden",
    ApiRefused: "refused",
}


def _wanted(delivery: Delivery, errand: Errand) -> tuple[Wanted, ...]:
    """What is still to be asked for, together with what was: answers replace answers as a whole."""
    known = errand.fetched.wanted if errand.fetched else ()
    if errand.wanted:
        return joined(known, errand.wanted)
    return () if errand.fetched else errand_of(delivery.envelope)


def _one(entry: Entry, verdict: Verdict) -> Applied:
    return Applied(decided=(Decided(entry=entry, verdict=verdict),))


def _park(failure: ApiFailure, seconds: float) -> Park:
    error = f"{type(failure).__name__}: {failure}"
    return Park(delay_seconds=seconds, charged=False, error=error)


def _tell(*, opened: bool, failure: ApiFailure) -> None:
    if opened:
        log.warning("fetching rests", why=str(failure))


def _alarm(*, opened: bool, failure: ApiFailure) -> None:
    if opened:
        log.critical("fetching rests until the key is mended", why=str(failure))


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchClaims:
    """Claims of this lane for a drainer; leases and the database's breaker are the inbox'."""

    inbox: ports.Claims
    lane: FetchLane

    def claim(self, token: str, *, wake: str | None) -> Claim:
        """Take one event whose turn it is."""
        return self.lane.claim(token, wake=wake)

    def leave(self, token: str, *, hand_on: bool) -> str | None:
        """End this registration; if it hands on, learn whom to wake."""
        return self.lane.leave(token, hand_on=hand_on)

    def unregister(self, token: str) -> None:
        """End a registration."""
        self.lane.leave(token, hand_on=False)

    def heartbeat(self, token: str) -> bool:
        """Keep what was claimed."""
        return self.inbox.heartbeat(token)

    def open_breaker(self, reason: str, seconds: float) -> None:
        """Stop everybody: it is the database that is away."""
        self.inbox.open_breaker(reason, seconds)
