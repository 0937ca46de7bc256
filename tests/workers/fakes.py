# ruff: noqa: ARG002 - fakes take the same arguments as the real objects
"""Fakes: an inbox that hands out given batches, a ledger that fails on request."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisAway

from ops.samples.worlds.records import Customer
from runtime.failures.dead_letters import DeadLetterDraft
from runtime.inbox.entries import Claim, Closed, Finished, InboxEntry, Lane, Parked
from runtime.inbox.service_times import BatchTime
from runtime.ledger.deliveries import Delivery, Outcome, Settlement
from runtime.telemetry import Metrics, build_metrics
from runtime.time_limits import MAX_RUN_SECONDS
from tests.billing.event_builders import document, encoded, printed
from workers.batches.drainer import Drainer
from workers.batches.executor import AskCanary, BatchExecutor, no_canary
from workers.batches.finisher import Finisher
from workers.batches.reporting import Reporter

WAKES = ("wake", "more")
"""The tokens of wake-ups; every other token is a drainer's."""

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CREATED = 1_763_726_400


def body_of(event_id: str, customer: str = "cus_1") -> bytes:
    """Return the body of a small event."""
    made = Customer(id=customer, created=CREATED, metadata={"user_id": f"usr_{customer}"})
    return encoded(document("customer.created", printed(made), id=event_id, created=CREATED))


def entry_of(
    event_id: str,
    *,
    body: bytes | None = None,
    attempts: int = 0,
    crashes: int = 0,
    version: int = 1,
    origin: str = "stripe",
) -> InboxEntry:
    """Return an entry as the inbox hands it out."""
    return InboxEntry(
        key=event_id,
        body=body_of(event_id) if body is None else body,
        received_at=NOW,
        lane=Lane.LIVE,
        origin=origin,
        attempts=attempts,
        crashes=crashes,
        first_failed_at=None,
        last_failed_at=None,
        last_error=None,
        version=version,
        extra={},
    )


class ManualClock:
    """Monotonic seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class BatchInbox:
    """An inbox that hands out its batches one by one and records each call."""

    batches: list[list[InboxEntry]]
    owed: str | None = None
    finished: list[Finished] = field(default_factory=list)
    times: list[BatchTime | None] = field(default_factory=list)
    parked: list[Parked] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    set_apart_keys: list[str] = field(default_factory=list)
    suspected: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    breaker: str | None = None
    unreachable: int = 0
    """The number of calls that will find Redis unreachable."""

    def claim(self, token: str, *, wake: str | None) -> Claim:
        self.calls.append(f"claim by {wake}" if wake else "claim")
        entries = tuple(self.batches.pop(0)) if self.batches else ()
        return Claim(
            token=token,
            entries=entries,
            alone=len(entries) == 1,
            wake=self.owed if entries else None,
            refused=False,
        )

    def heartbeat(self, token: str) -> bool:
        return True

    def finish(
        self, token: str, finished: Sequence[Finished], took: BatchTime | None = None
    ) -> Closed:
        self.calls.append("finish")
        self._fail_if_unreachable()
        self.finished += finished
        self.times.append(took)
        return Closed(events=len(finished))

    def park(self, token: str, parked: Sequence[Parked]) -> int:
        self.calls.append("park")
        self.parked += parked
        return len(parked)

    def discard(self, token: str, keys: Sequence[str]) -> Closed:
        self.calls.append("discard")
        self.discarded += keys
        return Closed(events=len(keys))

    def suspect(self, token: str, keys: Sequence[str]) -> int:
        self.calls.append("suspect")
        self.suspected += keys
        return len(keys)

    def set_apart(self, token: str, keys: Sequence[str]) -> int:
        self.calls.append("set apart")
        self.set_apart_keys += keys
        return len(keys)

    def release(self, token: str) -> int:
        self.calls.append("release")
        return 0

    def leave(self, token: str, *, hand_on: bool) -> str | None:
        if token in WAKES:
            self.calls.append(f"unregister {token}")
            return None
        self.calls.append("hand on" if hand_on else "leave")
        self._fail_if_unreachable()
        return "next" if self.batches and hand_on else None

    def _fail_if_unreachable(self) -> None:
        if self.unreachable:
            self.unreachable -= 1
            raise RedisAway("refused")

    def open_breaker(self, reason: str, seconds: float) -> None:
        self.breaker = reason


@dataclass
class FakeLedger:
    """A ledger that settles all deliveries, or fails for the events in ``failing``.

    Each transaction takes ``seconds`` on its clock, and settles no event in ``undecided``.
    """

    failing: dict[str, Exception] = field(default_factory=dict)
    settled: dict[str, Settlement] = field(default_factory=dict)
    undecided: set[str] = field(default_factory=set)
    seconds: float = 0.0
    clock: ManualClock = field(default_factory=ManualClock)
    calls: list[list[str]] = field(default_factory=list)
    lock_seconds: list[float] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def record(self, deliveries: Sequence[Delivery], lock_seconds: float) -> list[Settlement]:
        keys = [delivery.key for delivery in deliveries]
        self.calls.append(keys)
        self.lock_seconds.append(lock_seconds)
        self.clock.now += self.seconds
        self.deliveries += deliveries
        for key in keys:
            if key in self.failing:
                raise self.failing[key]
        return [self._settle(each) for each in deliveries if each.key not in self.undecided]

    def _settle(self, delivery: Delivery) -> Settlement:
        known = self.settled.get(delivery.key)
        settlement = Settlement(
            key=delivery.key,
            event_id=delivery.envelope.event_id,
            fingerprint=delivery.envelope.fingerprint,
            event_type=delivery.envelope.type,
            outcome=Outcome.APPLIED,
            reason=None,
            applied_at=NOW,
            attempts=delivery.attempts,
            settlement=known.settlement if known else next(self._numbers),
            database_epoch="epoch",
            hit=known is not None,
            changes={} if known else {"granted": 1},
        )
        self.settled[delivery.key] = settlement
        return settlement


@dataclass
class DeadLetterFake:
    """Accepts dead letters, or raises ``failure``."""

    failure: Exception | None = None
    drafts: list[DeadLetterDraft] = field(default_factory=list)

    def __call__(self, drafts: Sequence[DeadLetterDraft]) -> None:
        if self.failure is not None:
            raise self.failure
        self.drafts += drafts


@dataclass
class DrainScene:
    """A drainer among fakes."""

    inbox: BatchInbox
    ledger: FakeLedger = field(default_factory=FakeLedger)
    dead_letters: DeadLetterFake = field(default_factory=DeadLetterFake)
    ask_canary: AskCanary = no_canary
    published: list[str] = field(default_factory=list)
    broker_works: bool = True
    is_stopping: bool = False
    claims: int = 0
    max_run_seconds: float = MAX_RUN_SECONDS
    metrics: Metrics = field(default_factory=lambda: build_metrics(CollectorRegistry()))

    def drain(self, wake: str = "wake") -> None:
        Drainer(
            queue=self.inbox,
            claimed=self.inbox,
            execute=BatchExecutor(
                record=self.ledger.record,
                with_stored_fetches=list,
                now=lambda: NOW,
                chance=lambda: 0.0,
                clock=self.ledger.clock,
                ask_canary=self.ask_canary,
            ).execute,
            finisher=Finisher(
                inbox=self.inbox,
                write_dead_letters=self.dead_letters,
                reporter=Reporter(self.metrics),
                now=lambda: NOW,
            ),
            publish=self._publish,
            is_stopping=lambda: self.is_stopping,
            on_claim=self._count_claim,
            holding=nullcontext,
            max_run_seconds=self.max_run_seconds,
            pause_seconds=0.0,  # the fake inbox is reachable again after calls, not after time
        ).run(wake)

    def finished_keys(self) -> list[str]:
        return [finished.key for finished in self.inbox.finished]

    def parked_keys(self) -> list[str]:
        return [parked.key for parked in self.inbox.parked]

    def counted(self, metric: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(metric, labels) or 0.0

    def _publish(self, token: str) -> bool:
        self.published.append(token)
        return self.broker_works

    def _count_claim(self) -> None:
        self.claims += 1


def stage(*batches: list[InboxEntry]) -> DrainScene:
    """Return a drainer whose inbox hands out these batches."""
    return DrainScene(inbox=BatchInbox(list(batches)))
