"""Decide what to do with a claimed event. The functions here are pure.

Disposition
 ├── Finish             the event is settled; it leaves the inbox with its cached result
 ├── Snooze             it stays in the inbox and is due again later; no attempt is used
 ├── Retry              it stays in the inbox and is due again later; one attempt is used
 ├── MoveToDeadLetters  it leaves the inbox for the dead letters
 ├── Release            it stays in the inbox and is due at once, as if never claimed
 ├── SetApart           it stays in the inbox and is due at once, but its partition shares no claim
 ├── Suspect            it stays in the inbox and is due at once, but is claimed alone
 └── Defer              it moves to the fetch lane, because Stripe's API must be asked first

An event uses up its attempts only by failures that may be its own fault. An outage, a stop or
another release never brings an event closer to the dead letters.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never

from runtime.failures.classify import (
    Failure,
    Infrastructure,
    Outdated,
    Permanent,
    Transient,
    Unexpected,
)
from runtime.ledger.deliveries import Settlement
from runtime.time_limits import (
    MAX_BACKOFF_SECONDS,
    MAX_REST_SECONDS,
    MAX_RETRY_AGE,
    MIN_BACKOFF_SECONDS,
    MIN_LOCKED_BACKOFF_SECONDS,
    OUTAGE_SECONDS,
    OUTDATED_SECONDS,
)

MAX_CRASHES: Final = 3
"""After so many worker crashes with this event alone in the claim, it is not run again."""

MAX_ATTEMPTS: Final = 20
MAX_UNEXPECTED_ATTEMPTS: Final = 5
MIN_ATTEMPTS: Final = 3

CRASH_LOOP: Final = "crash_loop"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimHistory:
    """Failures of an event's earlier claims, as the inbox counts them."""

    attempts: int
    """Attempts used before the current one."""
    crashes: int
    first_failed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The event is settled; ``seconds`` is the duration of its transaction.

    With ``fetch`` one part is settled, and Stripe's API must be asked for the rest.
    """

    settlement: Settlement
    seconds: float
    fetch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Snooze:
    """The event waits and keeps all its attempts."""

    delay_seconds: float
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The event waits and has used one attempt; the rest of its partition may wait, too.

    ``rest_seconds`` is above 0 if its party was locked: the others would meet the same lock. But
    the lock may be gone long before the event itself is due again.
    """

    delay_seconds: float
    error: str
    rest_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveToDeadLetters:
    """The event needs an operator."""

    error_type: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The event was not started; any worker may claim it at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetApart:
    """It was not decided in time; no attempt is used, and no other partition waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """Its batch failed before the event was tried by itself, which it is next; no attempt used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defer:
    """The event cannot be recorded before Stripe's API was asked."""


Disposition = Finish | Snooze | Retry | MoveToDeadLetters | Release | SetApart | Suspect | Defer
Failed = Snooze | Retry | MoveToDeadLetters


def disposition_after(
    failure: Failure, history: ClaimHistory, *, now: datetime, chance: float
) -> Failed:
    """Return the disposition of an event that failed; ``chance`` in [0, 1) spreads retries."""
    match failure:
        case Infrastructure():
            return _snooze(failure, OUTAGE_SECONDS, chance)
        case Outdated():
            return _snooze(failure, OUTDATED_SECONDS, chance)
        case Transient():
            return _retry(failure, history, MAX_ATTEMPTS, now=now, chance=chance)
        case Unexpected():
            return _retry(failure, history, MAX_UNEXPECTED_ATTEMPTS, now=now, chance=chance)
        case Permanent():
            return MoveToDeadLetters(error_type=failure.error_type, error=failure.reason)
    assert_never(failure)


def disposition_of_crash_loop(history: ClaimHistory) -> MoveToDeadLetters | None:
    """Return the disposition of an event that keeps crashing its worker, before it runs again."""
    if history.crashes < MAX_CRASHES:
        return None
    return MoveToDeadLetters(
        error_type=CRASH_LOOP,
        error=f"it ended its worker {history.crashes} times while claimed alone: look in the"
        " worker's log for a crash, a hang or memory exhaustion, fix the cause, then replay it",
    )


def backoff_seconds(attempt: int, chance: float, first: float = MIN_BACKOFF_SECONDS) -> float:
    """Return the wait after attempt ``attempt``: it doubles, from ``first`` to at most 10 min.

    Chance decides the upper half only. With full jitter a delay may be 0, and one short outage
    can then use up all attempts.
    """
    doublings = min(max(attempt - 1, 0), 16)
    ceiling = min(2 * first * 2.0**doublings, MAX_BACKOFF_SECONDS)
    return ceiling / 2 + chance * ceiling / 2


def _snooze(failure: Infrastructure | Outdated, seconds: float, chance: float) -> Snooze:
    return Snooze(
        delay_seconds=seconds * (1 + chance), error=f"{failure.error_type}: {failure.reason}"
    )


def _retry(
    failure: Transient | Unexpected,
    history: ClaimHistory,
    most: int,
    *,
    now: datetime,
    chance: float,
) -> Retry | MoveToDeadLetters:
    attempt = history.attempts + 1
    if attempt >= most or _is_too_old(history, now):
        return MoveToDeadLetters(error_type=failure.error_type, error=failure.reason)
    locked = isinstance(failure, Transient) and failure.locked
    first = MIN_LOCKED_BACKOFF_SECONDS if locked else MIN_BACKOFF_SECONDS
    delay_seconds = backoff_seconds(attempt, chance, first)
    return Retry(
        delay_seconds=delay_seconds,
        error=f"{failure.error_type}: {failure.reason}",
        rest_seconds=min(delay_seconds, MAX_REST_SECONDS) if locked else 0.0,
    )


def _is_too_old(history: ClaimHistory, now: datetime) -> bool:
    """Return True after a day of retries; a day of outage alone does not count."""
    if history.first_failed_at is None or history.attempts < MIN_ATTEMPTS:
        return False
    return now - history.first_failed_at >= MAX_RETRY_AGE
