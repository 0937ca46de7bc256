from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from runtime.inbox.entries import Backlog, Breaker
from runtime.inbox.inbox import MAX_BYTES
from runtime.inbox.service_times import BatchTime
from runtime.sizing.need import (
    ASSUMED_RATE,
    ENOUGH_BATCHES,
    FRESH,
    LONGEST_AGE,
    MOST_SAVED,
    estimate_need,
)
from runtime.time_limits import SETTLING_SECONDS, TARGET_AGE_SECONDS
from tests.fakes import NOW
from tests.runtime.inbox.backlogs import EMPTY_BACKLOG

LONG_AGO = NOW - timedelta(seconds=SETTLING_SECONDS + 1)


def batches(
    events: int, seconds: float, number: int = ENOUGH_BATCHES, settled_at: datetime = NOW
) -> tuple[BatchTime, ...]:
    return (BatchTime(events=events, seconds=seconds, settled_at=settled_at),) * number


BUSY = replace(EMPTY_BACKLOG, batch_times=batches(100, 1.0), processes=1)
"""An inbox whose workers take 10 ms per event."""


def needed(inbox: Backlog) -> int:
    return estimate_need(inbox).processes


def test_an_inbox_at_rest_needs_one_process() -> None:
    assert needed(replace(EMPTY_BACKLOG, processes=0)) == 1
    assert needed(replace(BUSY, arriving=0.0, processes=7)) == 1


@pytest.mark.parametrize(
    ("arriving", "running", "processes"),
    [(74, 1, 1), (76, 1, 2), (111, 2, 2), (149, 2, 2), (151, 2, 3), (149, 9, 3), (56, 1, 1)],
)
def test_more_processes_are_needed_before_those_that_run_have_no_rest(
    arriving: float, running: int, processes: int
) -> None:
    assert needed(replace(BUSY, arriving=arriving, processes=running)) == processes


@pytest.mark.parametrize("arriving", [60, 65, 70, 74])
def test_a_load_that_varies_a_little_changes_nothing(arriving: float) -> None:
    loads = replace(BUSY, arriving=arriving)

    assert needed(loads) == 1
    assert needed(replace(loads, processes=2)) == 2


def test_arrivals_count_while_nothing_waits() -> None:
    assert needed(replace(BUSY, arriving=500.0)) == 10


def test_while_it_is_not_known_what_arrives_no_process_is_one_too_many() -> None:
    """Stand for a Redis that was flushed, was frozen for a minute, or whose clock stepped."""
    unknown = replace(BUSY, arriving=None, processes=7)

    assert needed(unknown) == 7
    assert needed(replace(unknown, due=60_000, waiting_seconds=7200.0)) == 10
    assert needed(replace(unknown, processes=0)) == 1


def test_without_workers_the_need_is_the_same_as_with_too_few() -> None:
    loads = replace(BUSY, arriving=500.0)

    assert needed(replace(loads, processes=0)) == needed(loads)


def test_a_backlog_is_cleared_before_its_oldest_event_is_too_old() -> None:
    """Take 1000 events as 10 s of work."""
    waiting = replace(BUSY, due=900, claimed=100, settled_at=NOW)

    assert needed(waiting) == 1
    assert needed(replace(waiting, due=1900)) == 2
    assert needed(replace(waiting, waiting_seconds=TARGET_AGE_SECONDS / 2)) == 2
    assert needed(replace(waiting, waiting_seconds=TARGET_AGE_SECONDS)) == 2


def test_what_is_old_already_is_no_reason_to_start_hundreds_of_processes() -> None:
    hours = replace(BUSY, due=60_000, waiting_seconds=7200.0)

    assert needed(hours) == 60_000 * 0.01 / (LONGEST_AGE / 2)


def test_parked_events_and_those_that_wait_for_stripe_count_for_nothing() -> None:
    assert needed(replace(BUSY, events=90_000, parked=60_000, fetch_due=30_000)) == 1


def test_a_poison_that_is_tried_again_and_again_is_one_event() -> None:
    poison = replace(BUSY, events=1, due=1, waiting_seconds=86_400.0, settled_at=LONG_AGO)

    assert needed(poison) == 1
    assert needed(replace(poison, due=0, claimed=1)) == 1


def test_while_postgresql_is_away_only_what_arrives_counts() -> None:
    away = Breaker(reason="frozen", until=NOW, since=NOW)
    loads = replace(BUSY, arriving=140.0, due=50_000, waiting_seconds=60.0, processes=2)

    assert needed(loads) > 10
    assert needed(replace(loads, breaker=away)) == 2


def test_while_claimed_events_are_not_settled_only_what_arrives_counts() -> None:
    """Stand for a frozen PostgreSQL before the breaker is open."""
    loads = replace(BUSY, arriving=140.0, due=5000, claimed=400, waiting_seconds=5.0, processes=2)

    assert needed(replace(loads, settled_at=LONG_AGO)) == 2
    assert needed(replace(loads, settled_at=NOW)) > 10
    assert needed(replace(loads, settled_at=None)) > 10


def test_one_slow_event_does_not_hide_the_backlog_behind_it() -> None:
    loads = replace(BUSY, due=5000, claimed=1, waiting_seconds=5.0, settled_at=LONG_AGO)

    assert needed(loads) > 10


def test_a_backlog_that_no_worker_has_taken_counts() -> None:
    assert needed(replace(BUSY, due=5000, settled_at=LONG_AGO, processes=0)) == 5


def rate(*times: BatchTime) -> float:
    return estimate_need(replace(BUSY, batch_times=times)).rate


def test_a_service_time_that_was_not_measured_is_assumed_and_said_to_be() -> None:
    few = replace(BUSY, batch_times=batches(100, 1.0, ENOUGH_BATCHES - 1), due=1)

    need = estimate_need(few)

    assert (need.rate, need.measured) == (ASSUMED_RATE, False)
    assert estimate_need(BUSY).measured
    assert estimate_need(BUSY).rate == pytest.approx(100)


def test_full_batches_tell_what_a_process_can_do_and_single_events_do_not_hide_it() -> None:
    night = rate(*batches(1, 0.05, 32), *batches(200, 0.2, 32))

    assert night == pytest.approx(1000)


def test_a_batch_is_full_of_a_few_large_bodies() -> None:
    """Let a batch take 100 ms and 10 ms more for each event of 0.5 MiB: four fill it."""
    singles, more = batches(1, 0.11, 32), batches(3, 0.13, 32)
    large = [
        replace(batch, body_bytes=MAX_BYTES // 4 * batch.events) for batch in (*singles, *more)
    ]

    assert rate(*singles, *more) == pytest.approx(1 / (0.1 / 200 + 0.01))
    assert rate(*large) == pytest.approx(1 / (0.1 / 4 + 0.01))


def test_large_batches_of_a_slow_hour_do_not_count_for_ever() -> None:
    """Let full batches have taken 20 ms per event, and small ones take 10 ms at most since then."""
    slow = batches(200, 4.0, 32, NOW - FRESH - timedelta(seconds=1))
    since = (*batches(1, 0.01, 32), *batches(3, 0.015, 32), *batches(12, 0.05, 32))

    assert rate(*since, *slow) > 100
    assert rate(*since, *batches(200, 4.0, 32)) == pytest.approx(50, rel=0.2)


def test_a_few_batches_do_not_say_that_a_server_is_fast_again() -> None:
    slow = batches(200, 4.0, 32, NOW - FRESH - timedelta(seconds=1))

    assert rate(*batches(1, 0.01, ENOUGH_BATCHES - 1), *slow) < 100


def test_full_batches_of_long_ago_still_tell_what_a_process_can_do() -> None:
    evening = batches(200, 0.2, 32, NOW - timedelta(hours=9))

    assert rate(*batches(1, 0.05, 32), *evening) == pytest.approx(1000)


def test_while_all_batches_have_one_size_their_time_per_event_is_all_that_is_known() -> None:
    assert rate(*batches(1, 0.05)) == pytest.approx(20)


def test_small_batches_of_two_sizes_tell_what_a_full_one_takes() -> None:
    """Let a batch take 100 ms and 10 ms more for each event."""
    assert rate(*batches(2, 0.12), *batches(12, 0.22)) == pytest.approx(200 / 2.1)


def test_a_distant_database_does_not_ask_for_more_and_more_processes() -> None:
    """Take 0.5 s for any batch: more processes only make each batch smaller."""
    loads = replace(BUSY, arriving=20.0)
    alone = replace(loads, batch_times=(*batches(9, 0.5), *batches(11, 0.501)))
    many = replace(loads, batch_times=(*batches(1, 0.5), *batches(3, 0.501)), processes=5)

    assert needed(alone) == needed(many) == 1


def test_a_saving_that_no_batch_has_shown_is_believed_in_part_only() -> None:
    assert rate(*batches(1, 0.1), *batches(2, 0.1)) == pytest.approx(MOST_SAVED * 2 / 0.1)


def test_batches_that_a_frozen_server_held_up_do_not_run_away_with_the_number() -> None:
    assert rate(*batches(100, 8.0, 4), *batches(100, 1.0, 28)) > 100 / 2


def test_batches_that_became_slow_are_believed_soon() -> None:
    assert rate(*batches(100, 10.0, 11), *batches(100, 1.0, 21)) == pytest.approx(10)
