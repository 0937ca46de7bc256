# ruff: noqa: ARG002 - stand-ins take what the real ones take
"""Stand-ins of our own: an inbox that hands out given batches, a ledger that fails on request."""

import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisAway

from runtime.failures.dead_letters import Burial
from runtime.inbox.entries import Claim, Closed, Entry, Finished, Lane, Parked
from runtime.ledger.deliveries import Delivery, Outcome, Settlement
from runtime.telemetry import Metrics, build_metrics
from workers.drain.drainer import Drainer
from workers.drain.executor import Applier
from workers.drain.finisher import Orders
from workers.drain.reporting import Reporter

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def body_of(event_id: str, customer: str = "cus_1") -> bytes:
    """A small event that every reader understands."""
    event = {
        "id": event_id,
        "object": "event",
        "type": "customer.created",
        "api_version": "2025-03-31.basil",
        "created": 1763726400,
        "livemode": False,
        "data": {
            "object": {
                "id": customer,
                "object": "customer",
                "created": 1763726400,
                "metadata": {"user_id": f"usr_{customer}"},
            }
        },
    }
    return json.dumps(event).encode()


def entry_of(
    event_id: str,
    *,
    body: bytes | None = None,
    attempts: int = 0,
    crashes: int = 0,
    version: int = 1,
    origin: str = "stripe",
) -> Entry:
    """What the inbox hands out."""
    return Entry(
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


@dataclass
class FakeInbox:
    """Hands out its batches one by one and writes down what it is told."""

    batches: list[list[Entry]]
    owed: str | None = None
    rewound: bool = False
    finished: list[Finished] = field(default_factory=list)
    settlements: list[int | None] = field(default_factory=list)
    parked: list[Parked] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    breaker: str | None = None
    away: int = 0
    """How many more calls find no Redis."""

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

    def finish(self, token: str, finished: Sequence[Finished], *, settlement: int | None) -> Closed:
        self.calls.append("finish")
        self._fail_if_away()
        self.finished += finished
        self.settlements.append(settlement)
        return Closed(events=len(finished), rewound=self.rewound)

    def park(self, token: str, parked: Sequence[Parked]) -> int:
        self.calls.append("park")
        self.parked += parked
        return len(parked)

    def discard(self, token: str, keys: Sequence[str]) -> Closed:
        self.calls.append("discard")
        self.discarded += keys
        return Closed(events=len(keys), rewound=False)

    def give_back(self, token: str) -> int:
        self.calls.append("give back")
        return 0

    def unregister(self, token: str) -> None:
        self.calls.append(f"unregister {token}")

    def leave(self, token: str, *, hand_on: bool) -> str | None:
        self.calls.append("hand on" if hand_on else "leave")
        self._fail_if_away()
        return "next" if self.batches and hand_on else None

    def _fail_if_away(self) -> None:
        if self.away:
            self.away -= 1
            raise RedisAway("refused")

    def open_breaker(self, reason: str, seconds: float) -> None:
        self.breaker = reason

    def drop_done_markers(self) -> int:
        self.calls.append("drop markers")
        return 3


@dataclass
class FakeLedger:
    """Settles everything but the events it is told to fail for, all or nothing."""

    failing: dict[str, Exception] = field(default_factory=dict)
    settled: dict[str, Settlement] = field(default_factory=dict)
    calls: list[list[str]] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def record(self, deliveries: Sequence[Delivery]) -> list[Settlement]:
        keys = [delivery.key for delivery in deliveries]
        self.calls.append(keys)
        self.deliveries += deliveries
        for key in keys:
            if key in self.failing:
                raise self.failing[key]
        return [self._settle(delivery) for delivery in deliveries]

    def recalled(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        return list(deliveries)

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
            hit=known is not None,
            changes={} if known else {"granted": 1},
        )
        self.settled[delivery.key] = settlement
        return settlement


@dataclass
class Graveyard:
    """Takes burials, or fails as it is told."""

    failure: Exception | None = None
    burials: list[Burial] = field(default_factory=list)

    def __call__(self, burials: Sequence[Burial]) -> None:
        if self.failure is not None:
            raise self.failure
        self.burials += burials


@dataclass
class Stage:
    """A drainer among stand-ins."""

    inbox: FakeInbox
    ledger: FakeLedger = field(default_factory=FakeLedger)
    graveyard: Graveyard = field(default_factory=Graveyard)
    published: list[str] = field(default_factory=list)
    broker_works: bool = True
    stopping: bool = False
    moves: int = 0
    longest_run_seconds: float = 5.0
    metrics: Metrics = field(default_factory=lambda: build_metrics(CollectorRegistry()))

    def drain(self, wake: str = "wake") -> None:
        Drainer(
            inbox=self.inbox,
            applier=Applier(recorder=self.ledger, now=lambda: NOW, chance=lambda: 0.0),
            orders=Orders(
                inbox=self.inbox,
                bury=self.graveyard,
                reporter=Reporter(self.metrics),
                now=lambda: NOW,
            ),
            publish=self._publish,
            is_stopping=lambda: self.stopping,
            moved=self._move,
            naming=nullcontext,
            longest_run_seconds=self.longest_run_seconds,
            pause_seconds=0.0,
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

    def _move(self) -> None:
        self.moves += 1


def stage(*batches: list[Entry]) -> Stage:
    """A drainer that will find these batches."""
    return Stage(inbox=FakeInbox(list(batches)))
