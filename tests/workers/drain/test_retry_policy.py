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
from workers.drain.retry_policy import (
    ATTEMPTS_TO_BURY,
    CRASH_LOOP,
    PATIENCE,
    UNEXPECTED_ATTEMPTS_TO_BURY,
    Bury,
    History,
    Park,
    Verdict,
    backoff_seconds,
    judge,
    judge_crashes,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def history(
    attempts: int = 0, crashes: int = 0, first_failed_at: datetime | None = None
) -> History:
    return History(attempts=attempts, crashes=crashes, first_failed_at=first_failed_at)


def judged(failure: Failure, past: History) -> Verdict:
    return judge(failure, past, now=NOW, chance=0.5)


@pytest.mark.parametrize("kind", [Infrastructure, Outdated])
def test_an_outage_charges_nobody_however_long_it_lasts(
    kind: type[Infrastructure | Outdated],
) -> None:
    verdict = judged(
        kind(error_type="OperationalError", reason="connection refused"),
        history(ATTEMPTS_TO_BURY, first_failed_at=NOW - 10 * PATIENCE),
    )

    assert isinstance(verdict, Park)
    assert not verdict.charged
    assert verdict.error == "OperationalError: connection refused"


def test_a_held_lock_parks_and_charges() -> None:
    verdict = judged(Transient(error_type="LockNotAvailable", reason="held"), history())

    assert verdict == Park(delay_seconds=3.0, charged=True, error="LockNotAvailable: held")


def test_what_can_never_be_applied_is_buried_at_once() -> None:
    verdict = judged(Permanent(error_type="UnreadableEvent", reason="no id"), history())

    assert verdict == Bury(error_type="UnreadableEvent", error="no id")


@pytest.mark.parametrize(
    ("kind", "most"),
    [(Transient, ATTEMPTS_TO_BURY), (Unexpected, UNEXPECTED_ATTEMPTS_TO_BURY)],
)
def test_charged_failures_end_in_the_dead_letters_at_their_bound(
    kind: type[Transient | Unexpected], most: int
) -> None:
    failure = kind(error_type="KeyError", reason="'id'")

    before = judged(failure, history(most - 2))
    at_the_bound = judged(failure, history(most - 1))

    assert isinstance(before, Park)
    assert at_the_bound == Bury(error_type="KeyError", error="'id'")


def test_patience_ends_after_a_day() -> None:
    failure = Transient(error_type="LockNotAvailable", reason="held")

    almost = judged(failure, history(3, first_failed_at=NOW - PATIENCE + timedelta(seconds=1)))
    over = judged(failure, history(3, first_failed_at=NOW - PATIENCE))

    assert isinstance(almost, Park)
    assert isinstance(over, Bury)


def test_a_day_of_outage_does_not_use_up_the_patience_with_an_event() -> None:
    failure = Transient(error_type="LockNotAvailable", reason="held")

    verdict = judged(failure, history(0, first_failed_at=NOW - 2 * PATIENCE))

    assert isinstance(verdict, Park)


def test_backoff_never_falls_below_two_seconds_nor_rises_above_ten_minutes() -> None:
    waits = [backoff_seconds(n, chance) for n in range(200) for chance in (0.0, 0.999)]

    assert min(waits) == 2.0
    assert max(waits) < 600.0
    assert backoff_seconds(50, 0.0) == 300.0


def test_backoff_doubles() -> None:
    assert [backoff_seconds(n, 0.0) for n in (1, 2, 3, 4)] == [2.0, 4.0, 8.0, 16.0]


def test_the_third_crash_alone_buries_and_two_do_not() -> None:
    assert judge_crashes(history(crashes=2)) is None

    burial = judge_crashes(history(crashes=3))

    assert burial is not None
    assert burial.error_type == CRASH_LOOP
    assert "3 times" in burial.error
