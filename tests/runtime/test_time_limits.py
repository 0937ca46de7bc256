from collections.abc import Sequence
from itertools import pairwise

from runtime.database.engine import SESSION
from runtime.inbox.inbox import MAX_EVENTS
from runtime.time_limits import (
    BATCH_LOCK_SECONDS,
    BREAKER_SECONDS,
    DECIDING_SECONDS,
    GRACE_SECONDS,
    HEARTBEAT_SECONDS,
    IDLE_IN_TRANSACTION_SECONDS,
    LEASE,
    LOCK_SECONDS,
    MAX_RUN_SECONDS,
    OUTAGE_SECONDS,
    POOL_STUCK_SECONDS,
    REGISTRATION,
    SPLIT_SECONDS,
    STATEMENT_SECONDS,
    TASK_SECONDS,
    VISIBILITY_SECONDS,
)


def rises(limits: Sequence[float]) -> bool:
    """Return True if each limit is below the next."""
    return all(shorter < longer for shorter, longer in pairwise(limits))


def test_the_cause_of_a_delay_fails_before_what_contains_it() -> None:
    limits = [
        BATCH_LOCK_SECONDS,
        LOCK_SECONDS,
        MAX_RUN_SECONDS,
        STATEMENT_SECONDS,
        IDLE_IN_TRANSACTION_SECONDS,
        TASK_SECONDS,
        GRACE_SECONDS,
        VISIBILITY_SECONDS,
    ]

    assert rises(limits)


def test_a_lease_and_a_registration_outlast_two_lost_heartbeats() -> None:
    assert rises([2 * HEARTBEAT_SECONDS, REGISTRATION.total_seconds(), LEASE.total_seconds()])


def test_a_split_finds_the_event_that_meets_a_lock_in_the_largest_batch() -> None:
    tries = 1 + (MAX_EVENTS - 1).bit_length()

    assert tries * BATCH_LOCK_SECONDS < SPLIT_SECONDS < STATEMENT_SECONDS


def test_a_lock_outlasts_the_deciding_of_its_holder() -> None:
    assert rises([DECIDING_SECONDS, LOCK_SECONDS])
    assert DECIDING_SECONDS < IDLE_IN_TRANSACTION_SECONDS / 2


def test_a_pool_that_waits_for_postgresql_does_not_count_as_stuck() -> None:
    assert rises([IDLE_IN_TRANSACTION_SECONDS, POOL_STUCK_SECONDS, TASK_SECONDS])
    assert SPLIT_SECONDS + STATEMENT_SECONDS < POOL_STUCK_SECONDS


def test_events_are_tried_again_while_the_breaker_is_open() -> None:
    assert rises([OUTAGE_SECONDS, BREAKER_SECONDS])


def test_the_sessions_are_opened_with_these_limits() -> None:
    assert SESSION["lock_timeout"] == f"{LOCK_SECONDS}s"
    assert SESSION["statement_timeout"] == f"{STATEMENT_SECONDS}s"
    assert SESSION["idle_in_transaction_session_timeout"] == f"{IDLE_IN_TRANSACTION_SECONDS}s"
