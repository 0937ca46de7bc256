from datetime import UTC, datetime, timedelta

import pytest

from runtime.failures.classify import (
    Failure,
    Infrastructure,
    Outdated,
    Permanent,
    Transient,
    Unexpected,
)
from runtime.time_limits import MAX_BACKOFF_SECONDS, MAX_REST_SECONDS, MAX_RETRY_AGE
from workers.batches.retry_policy import (
    CRASH_LOOP,
    MAX_ATTEMPTS,
    MAX_UNEXPECTED_ATTEMPTS,
    ClaimHistory,
    Disposition,
    MoveToDeadLetters,
    Retry,
    Snooze,
    backoff_seconds,
    disposition_after,
    disposition_of_crash_loop,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def history(
    attempts: int = 0, crashes: int = 0, first_failed_at: datetime | None = None
) -> ClaimHistory:
    return ClaimHistory(attempts=attempts, crashes=crashes, first_failed_at=first_failed_at)


def after(failure: Failure, past: ClaimHistory) -> Disposition:
    return disposition_after(failure, past, now=NOW, chance=0.5)


@pytest.mark.parametrize("kind", [Infrastructure, Outdated])
def test_an_outage_uses_no_attempt_even_if_it_lasts_long(
    kind: type[Infrastructure | Outdated],
) -> None:
    disposition = after(
        kind(error_type="OperationalError", reason="connection refused"),
        history(MAX_ATTEMPTS, first_failed_at=NOW - 10 * MAX_RETRY_AGE),
    )

    assert isinstance(disposition, Snooze)
    assert disposition.error == "OperationalError: connection refused"


def test_a_held_lock_uses_an_attempt() -> None:
    disposition = after(Transient(error_type="LockNotAvailable", reason="held"), history())

    assert disposition == Retry(delay_seconds=3.0, error="LockNotAvailable: held")


def test_the_others_of_a_locked_party_wait_as_long_as_the_event_and_half_a_minute_at_most() -> None:
    locked = Transient(error_type="LockNotAvailable (55P03)", reason="held")
    first, late = after(locked, history()), after(locked, history(MAX_ATTEMPTS - 2))

    assert isinstance(first, Retry)
    assert isinstance(late, Retry)
    assert first.rest_seconds == first.delay_seconds == 1.5
    assert late.rest_seconds == MAX_REST_SECONDS == 30
    assert late.delay_seconds > MAX_BACKOFF_SECONDS / 2


def test_a_permanent_failure_is_a_dead_letter_at_once() -> None:
    disposition = after(Permanent(error_type="UnreadableEvent", reason="no id"), history())

    assert disposition == MoveToDeadLetters(error_type="UnreadableEvent", error="no id")


@pytest.mark.parametrize(
    ("kind", "most"),
    [(Transient, MAX_ATTEMPTS), (Unexpected, MAX_UNEXPECTED_ATTEMPTS)],
)
def test_an_event_is_a_dead_letter_at_its_last_attempt(
    kind: type[Transient | Unexpected], most: int
) -> None:
    failure = kind(error_type="KeyError", reason="'id'")

    before = after(failure, history(most - 2))
    at_the_bound = after(failure, history(most - 1))

    assert isinstance(before, Retry)
    assert at_the_bound == MoveToDeadLetters(error_type="KeyError", error="'id'")


def test_retries_end_after_a_day() -> None:
    failure = Transient(error_type="LockNotAvailable", reason="held")

    almost = after(failure, history(3, first_failed_at=NOW - MAX_RETRY_AGE + timedelta(seconds=1)))
    over = after(failure, history(3, first_failed_at=NOW - MAX_RETRY_AGE))

    assert isinstance(almost, Retry)
    assert isinstance(over, MoveToDeadLetters)


def test_a_day_of_outage_does_not_end_the_retries() -> None:
    failure = Transient(error_type="LockNotAvailable", reason="held")

    disposition = after(failure, history(0, first_failed_at=NOW - 2 * MAX_RETRY_AGE))

    assert isinstance(disposition, Retry)


def test_backoff_never_falls_below_two_seconds_nor_rises_above_ten_minutes() -> None:
    waits = [backoff_seconds(n, chance) for n in range(200) for chance in (0.0, 0.999)]

    assert min(waits) == 2.0
    assert max(waits) < 600.0
    assert backoff_seconds(50, 0.0) == 300.0


def test_backoff_doubles() -> None:
    assert [backoff_seconds(n, 0.0) for n in (1, 2, 3, 4)] == [2.0, 4.0, 8.0, 16.0]


def test_three_crashes_alone_make_a_dead_letter_and_two_do_not() -> None:
    assert disposition_of_crash_loop(history(crashes=2)) is None

    crash_loop = disposition_of_crash_loop(history(crashes=3))

    assert crash_loop is not None
    assert crash_loop.error_type == CRASH_LOOP
    assert "3 times" in crash_loop.error
