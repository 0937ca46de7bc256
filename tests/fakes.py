"""Fakes of the objects that a unit under test depends on: values in, a list of calls out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from billing.envelope import Envelope
from runtime.inbox.entries import Accepted
from runtime.settings import Settings

SECRET = "whsec_" + "test" * 8
NOW = datetime(2026, 11, 22, 12, 0, 0, 400_000, tzinfo=UTC)


def settings(**environ: str) -> Settings:
    """Return the settings of a small installation, changed by ``environ``."""
    return Settings.from_env({"STRIPE_WEBHOOK_SECRET": SECRET, **environ})


@dataclass(kw_only=True)
class FakeIngestInbox:
    """Keeps accepted events in memory, or raises ``broken``; ``wake`` is owed for each."""

    known: dict[str, Envelope] = field(default_factory=dict)
    results: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    wake: str | None = None
    broken: Exception | None = None
    asked: int = 0
    unregistered: list[str] = field(default_factory=list)

    def accept(self, envelope: Envelope) -> Accepted:
        self.asked += 1
        if self.broken:
            raise self.broken
        first = self.known.setdefault(envelope.event_id, envelope)
        return Accepted(
            status=_status(first, envelope),
            wake=self.wake,
            result=self.results.get(envelope.event_id),
        )

    def unregister(self, token: str) -> None:
        self.unregistered.append(token)
        if self.broken:
            raise self.broken


def _status(first: Envelope, envelope: Envelope) -> Literal["accepted", "duplicate", "conflict"]:
    if first is envelope:
        return "accepted"
    return "duplicate" if first.fingerprint == envelope.fingerprint else "conflict"


@dataclass(kw_only=True)
class FakeWakes:
    """Records wake-ups to publish; a ``fault`` of False or an error refuses them."""

    published: list[str] = field(default_factory=list)
    fault: Exception | Literal[False] | None = None

    def publish(self, token: str) -> bool:
        self.published.append(token)
        if isinstance(self.fault, Exception):
            raise self.fault
        return self.fault is None


@dataclass(kw_only=True)
class FakeProbe:
    """Returns ``reasons``, or raises ``broken``."""

    reasons: tuple[str, ...] = ()
    broken: Exception | None = None
    asked: int = 0

    def __call__(self) -> tuple[str, ...]:
        self.asked += 1
        if self.broken:
            raise self.broken
        return self.reasons


@dataclass(kw_only=True)
class FakeClock:
    """A clock that moves only by ``advance``, as wall time and as monotonic seconds."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return (self.now - NOW).total_seconds()

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
