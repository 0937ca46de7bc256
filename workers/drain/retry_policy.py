"""What becomes of an event that was claimed, decided without touching anything.

Verdict
 ├── Finish     is settled in the database and leaves the inbox with its cached result
 ├── Park       stays in the inbox and is due again later
 ├── Bury       goes to the dead letters
 ├── GiveBack   stays in the inbox and is due at once, as if it had never been claimed
 └── Defer      stays in the inbox, in the lane of those that Stripe's API has to be asked about

A charged failure brings an event nearer to the dead letters. Only failures that may be the
event's own doing are charged: an outage, a stop or another release charge nobody.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
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

CRASHES_TO_BURY: Final = 3
"""Times an event may end a worker while claimed alone; the next claim buries it unrun."""

ATTEMPTS_TO_BURY: Final = 20
UNEXPECTED_ATTEMPTS_TO_BURY: Final = 5
LEAST_ATTEMPTS: Final = 3
PATIENCE: Final = timedelta(hours=24)

SHORTEST_BACKOFF_SECONDS: Final = 2.0
LONGEST_BACKOFF_SECONDS: Final = 600.0
AWAY_SECONDS: Final = 5.0
"""How long an outage parks; the breaker, not this delay, keeps workers off the database."""
OUTDATED_SECONDS: Final = 30.0

CRASH_LOOP: Final = "crash_loop"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the inbox remembers of an event's earlier claims."""

    attempts: int
    """Failures charged so far, without the one being judged."""
    crashes: int
    first_failed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The event is settled; ``seconds`` is what the transaction around it took.

    With ``fetch`` it is applied as far as it says, and Stripe's API is to be asked for the rest.
    """

    settlement: Settlement
    seconds: float
    fetch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """The event waits in the inbox; ``charged`` says whether it used up an attempt."""

    delay_seconds: float
    charged: bool
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bury:
    """The event goes to the dead letters, where a person finds it."""

    error_type: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBack:
    """The event was not begun; someone else may take it at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defer:
    """Nothing can be said of the event before Stripe's API was asked."""


Verdict = Finish | Park | Bury | GiveBack | Defer


def judge(failure: Failure, history: History, *, now: datetime, chance: float) -> Park | Bury:
    """The verdict on one event that failed alone; ``chance`` in [0, 1) spreads the retries."""
    match failure:
        case Infrastructure():
            return _uncharged(failure, AWAY_SECONDS, chance)
        case Outdated():
            return _uncharged(failure, OUTDATED_SECONDS, chance)
        case Transient():
            return _retried(failure, history, ATTEMPTS_TO_BURY, now=now, chance=chance)
        case Unexpected():
            return _retried(failure, history, UNEXPECTED_ATTEMPTS_TO_BURY, now=now, chance=chance)
        case Permanent():
            return Bury(error_type=failure.error_type, error=failure.reason)
    assert_never(failure)


def judge_crashes(history: History) -> Bury | None:
    """The burial of an event that keeps ending its worker, before it ends another one."""
    if history.crashes < CRASHES_TO_BURY:
        return None
    return Bury(
        error_type=CRASH_LOOP,
        error=f"it ended its worker {history.crashes} times while claimed alone:"
        " look for a crash, a hang or memory in the worker's log, mend that, then replay it",
    )


def backoff_seconds(attempt: int, chance: float) -> float:
    """The wait after the n-th charged failure: doubling, at least 2 s, at most 10 min.

    The upper half is left to chance. A floor matters: full jitter may draw 0, and then all
    attempts are burnt within one short outage.
    """
    doublings = min(max(attempt - 1, 0), 16)
    ceiling = min(2 * SHORTEST_BACKOFF_SECONDS * 2.0**doublings, LONGEST_BACKOFF_SECONDS)
    return ceiling / 2 + chance * ceiling / 2


def _uncharged(failure: Infrastructure | Outdated, seconds: float, chance: float) -> Park:
    return Park(
        delay_seconds=seconds * (1 + chance),
        charged=False,
        error=f"{failure.error_type}: {failure.reason}",
    )


def _retried(
    failure: Transient | Unexpected, history: History, most: int, *, now: datetime, chance: float
) -> Park | Bury:
    attempt = history.attempts + 1
    error = f"{failure.error_type}: {failure.reason}"
    if attempt >= most or _out_of_patience(history, now):
        return Bury(error_type=failure.error_type, error=failure.reason)
    return Park(delay_seconds=backoff_seconds(attempt, chance), charged=True, error=error)


def _out_of_patience(history: History, now: datetime) -> bool:
    """Time counts only with failures of its own: an outage of a day is not the event's fault."""
    if history.first_failed_at is None or history.attempts < LEAST_ATTEMPTS:
        return False
    return now - history.first_failed_at >= PATIENCE
