import re
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from ingest.factory import SERVER as INGEST
from ops.up.services import IngestService, WorkerService
from runtime.database.engine import KEEPALIVES
from runtime.database.session import SESSION
from runtime.inbox.inbox import MAX_EVENTS
from runtime.inbox.scripts import source
from runtime.time_limits import (
    ACCEPT_ANSWER_SECONDS,
    ACCEPT_TURN_SECONDS,
    ACCESS_EXPIRY_SECONDS,
    ANNOUNCEMENT,
    ANSWER_SECONDS,
    APART,
    API_ANSWER_SECONDS,
    API_CONNECT_SECONDS,
    API_FORBIDDEN_SECONDS,
    API_LIMITED_SECONDS,
    API_SILENCE_SECONDS,
    APPLICATION_ANSWER_SECONDS,
    APPLICATION_STATEMENT_SECONDS,
    ARRIVAL_SPAN,
    BATCH_IDLE_SECONDS,
    BATCH_LOCK_SECONDS,
    BREAKER_PROBE_SECONDS,
    BREAKER_SECONDS,
    BROKER_AGAIN_SECONDS,
    BROKER_CONNECT_SECONDS,
    BROKER_HEALTH_SECONDS,
    BROKER_SENTINEL_SECONDS,
    CANCEL_SECONDS,
    CLOCK_SLACK,
    CONNECT_TIMEOUT_SECONDS,
    DATA_WATCH_SECONDS,
    DATABASE_STATE_SECONDS,
    DECIDING_SECONDS,
    FALLBACK_AFTER_SECONDS,
    FETCH_STUCK_SECONDS,
    FIRST_PLANS_SECONDS,
    GRACE_SECONDS,
    GROWTH_NOTED,
    GROWTH_SPAN,
    HEARTBEAT_SECONDS,
    HISTORY_LONG_SECONDS,
    HISTORY_REDIS_SECONDS,
    HISTORY_SHORT_SECONDS,
    HISTORY_SPREAD_SECONDS,
    IDLE_IN_TRANSACTION_SECONDS,
    INGEST_ANSWER_SECONDS,
    INGEST_IDLE_SECONDS,
    INGEST_REDIS_SECONDS,
    LEAD_SECONDS,
    LEASE,
    LOCK_SECONDS,
    LONGEST_WAIT_SECONDS,
    LOOP_STILL_SECONDS,
    MARKER,
    MAX_BACKOFF_SECONDS,
    MAX_BREAKER,
    MAX_DELAY,
    MAX_FALLBACK_RUN_SECONDS,
    MAX_FETCH_REST,
    MAX_FETCH_SECONDS,
    MAX_NUMBERING_REST_SECONDS,
    MAX_RETRY_AGE,
    MAX_RUN_SECONDS,
    MIN_BACKOFF_SECONDS,
    MIN_FETCH_REST,
    MIN_LIMITED_REST,
    MIN_LOCKED_BACKOFF_SECONDS,
    NEXT_HOST_SECONDS,
    NUMBERING_FAILED_SECONDS,
    NUMBERING_SECONDS,
    OPEN_BREAKER_PROBE_SECONDS,
    OUTAGE_SECONDS,
    OUTDATED_SECONDS,
    OVERDUE_SECONDS,
    PARENT_LOOK_SECONDS,
    PERIOD_SECONDS,
    POOL_LOOK_SECONDS,
    POOL_STARTS_APART_SECONDS,
    POOL_STUCK_SECONDS,
    PORT_SECONDS,
    PROBE_ANSWER_SECONDS,
    REDIS_CONNECT_SHARE,
    REDIS_SETTINGS_SECONDS,
    REGISTRATION,
    RELEASE_PAUSE_SECONDS,
    REOPEN_SECONDS,
    REPLICA_WAIT_SECONDS,
    RESTORE_LOCK_SECONDS,
    RETRY_AFTER_SECONDS,
    SENTINEL_SHARE,
    SERVER_ORPHAN_SECONDS,
    SERVER_STOP_SECONDS,
    SETTLED_KEPT,
    SETTLING_SECONDS,
    SPLIT_SECONDS,
    STALE_DATABASE_STATE_SECONDS,
    STALE_PROBE_SECONDS,
    STALLED_LOOK_SECONDS,
    STALLED_SECONDS,
    STATEMENT_SECONDS,
    STUCK_GRACE_SECONDS,
    SUPERVISOR_REDIS_SECONDS,
    TASK_SECONDS,
    UNACKNOWLEDGED_SECONDS,
    VISIBILITY_SECONDS,
    WAKE_ANSWER_SECONDS,
    WAKE_CONNECT_SECONDS,
    WAKE_KEPT_SECONDS,
    WAKE_MESSAGE_SECONDS,
    WAKE_TURN_SECONDS,
    WORKER_REDIS_SECONDS,
    ZOMBIE_LOOK_SECONDS,
)
from workers.supervisor.sweeper import MAX_WAKES

ROOT = Path(__file__).parents[2]

LIMIT = re.compile(
    r"(seconds|timeout|period|interval|expire|_ms)\w*\"?(: [^=,]+)? ?[=:] ?[0-9.(]*[1-9]",
    re.IGNORECASE,
)
"""A constant, an argument or a default that is a time by its name and a number by its value."""

NOT_LIMITS = frozenset(
    {
        ("ingest/signature_counter.py", "MATCHED_SECONDS"),
        ("ingest/wrong_paths.py", "LOG_SECONDS"),
        ("ingest/wrong_paths.py", "REPORT_SECONDS"),
        ("runtime/redis_broker.py", "unacked_restore_interval"),  # a number of messages
        ("runtime/database/array_params.py", "_MICROSECOND"),
        ("runtime/database/deadline.py", "interval"),
        ("runtime/http/server.py", "_FOLD_SECONDS"),
        ("runtime/http/server.py", "_LOOK_SECONDS"),
        ("runtime/inbox/scripts.py", "_MILLISECOND"),
        ("runtime/stripe_api/errors.py", "{seconds:.1f}"),  # how a number is written
        ("workers/supervisor/database_probe.py", "SAY_AGAIN_SECONDS"),
        ("workers/supervisor/main.py", "FOLD_EVERY_SECONDS"),
        ("workers/supervisor/metrics_server.py", "REFUSED_PAUSE_SECONDS"),
    }
)
"""Units, and how often a file is folded, a line logged or a loop turned: nothing depends on it."""


def rises(limits: Sequence[float]) -> bool:
    """Return True if each limit is below the next."""
    return all(shorter < longer for shorter, longer in pairwise(limits))


def test_the_cause_of_a_delay_fails_before_what_contains_it() -> None:
    limits = [
        BATCH_LOCK_SECONDS,
        LOCK_SECONDS,
        MAX_RUN_SECONDS,
        STATEMENT_SECONDS,
        ANSWER_SECONDS,
        BATCH_IDLE_SECONDS,
        IDLE_IN_TRANSACTION_SECONDS,
        TASK_SECONDS,
        GRACE_SECONDS,
        VISIBILITY_SECONDS,
    ]

    assert rises(limits)


def test_a_lease_and_a_registration_outlast_two_lost_heartbeats() -> None:
    assert rises([2 * HEARTBEAT_SECONDS, REGISTRATION.total_seconds(), LEASE.total_seconds()])


def test_a_lease_outlasts_a_heartbeat_that_redis_answers_late() -> None:
    assert rises([HEARTBEAT_SECONDS + WORKER_REDIS_SECONDS, LEASE.total_seconds()])
    assert POOL_LOOK_SECONDS < HEARTBEAT_SECONDS
    assert RELEASE_PAUSE_SECONDS < HEARTBEAT_SECONDS


def test_a_process_is_reaped_after_whoever_waits_for_it_has_asked() -> None:
    assert POOL_LOOK_SECONDS < ZOMBIE_LOOK_SECONDS


def test_a_split_finds_the_event_that_meets_a_lock_in_the_largest_batch() -> None:
    tries = 1 + (MAX_EVENTS - 1).bit_length()

    assert tries * BATCH_LOCK_SECONDS < SPLIT_SECONDS < STATEMENT_SECONDS


def test_a_lock_outlasts_the_deciding_of_its_holder() -> None:
    assert rises([DECIDING_SECONDS, LOCK_SECONDS])
    assert DECIDING_SECONDS < BATCH_IDLE_SECONDS / 3


def test_a_frozen_process_loses_its_locks_before_its_claim() -> None:
    assert LEASE.total_seconds() > BATCH_IDLE_SECONDS


def test_a_pool_that_waits_for_postgresql_does_not_count_as_stuck() -> None:
    assert rises([IDLE_IN_TRANSACTION_SECONDS, POOL_STUCK_SECONDS, TASK_SECONDS])
    assert SPLIT_SECONDS + STATEMENT_SECONDS < POOL_STUCK_SECONDS


def test_a_frozen_postgresql_opens_the_breaker_before_its_pool_counts_as_stuck() -> None:
    assert ANSWER_SECONDS + CONNECT_TIMEOUT_SECONDS < POOL_STUCK_SECONDS


def test_a_probe_gives_up_long_before_the_breaker_closes_by_itself() -> None:
    probe = CONNECT_TIMEOUT_SECONDS + NEXT_HOST_SECONDS + 3 * PROBE_ANSWER_SECONDS + CANCEL_SECONDS

    assert probe < REOPEN_SECONDS


def test_events_wait_less_than_ten_seconds_after_a_failover_from_a_frozen_primary() -> None:
    probe_and_worker_connect = 2 * NEXT_HOST_SECONDS

    assert ANSWER_SECONDS + probe_and_worker_connect + 2 * OUTAGE_SECONDS < 10
    assert rises([NEXT_HOST_SECONDS, CONNECT_TIMEOUT_SECONDS])


def test_events_are_tried_again_while_the_breaker_is_open() -> None:
    assert rises([OUTAGE_SECONDS, BREAKER_SECONDS])


def test_the_sessions_are_opened_with_these_limits() -> None:
    assert SESSION["lock_timeout"] == f"{LOCK_SECONDS}s"
    assert SESSION["statement_timeout"] == f"{STATEMENT_SECONDS}s"
    assert SESSION["idle_in_transaction_session_timeout"] == f"{IDLE_IN_TRANSACTION_SECONDS}s"


def test_the_application_s_database_says_itself_that_a_query_takes_too_long() -> None:
    assert rises([APPLICATION_STATEMENT_SECONDS, APPLICATION_ANSWER_SECONDS])


def test_the_kernel_gives_up_a_lost_server_before_others_notice() -> None:
    idle = KEEPALIVES["keepalives_idle"] + (
        KEEPALIVES["keepalives_interval"] * KEEPALIVES["keepalives_count"]
    )

    assert UNACKNOWLEDGED_SECONDS < ANSWER_SECONDS
    assert idle == 25
    assert idle < POOL_STUCK_SECONDS


def test_no_part_of_an_answer_to_stripe_takes_longer_than_the_answer_may() -> None:
    connecting = REDIS_CONNECT_SHARE * INGEST_REDIS_SECONDS
    sending_a_wake_up = WAKE_TURN_SECONDS + WAKE_CONNECT_SECONDS + WAKE_ANSWER_SECONDS

    assert connecting + INGEST_REDIS_SECONDS < INGEST_ANSWER_SECONDS
    assert 2 * REPLICA_WAIT_SECONDS < INGEST_ANSWER_SECONDS
    assert sending_a_wake_up < INGEST_ANSWER_SECONDS


def test_ingest_outwaits_most_pauses_of_redis_that_the_answer_to_stripe_has_time_for() -> None:
    assert INGEST_REDIS_SECONDS > INGEST_ANSWER_SECONDS / 2


def test_an_event_that_shares_a_call_has_its_answer_or_its_error_within_the_answer_to_stripe() -> (
    None
):
    call = (1 + REDIS_CONNECT_SHARE) * INGEST_REDIS_SECONDS

    assert rises([ACCEPT_TURN_SECONDS + call, ACCEPT_ANSWER_SECONDS, INGEST_ANSWER_SECONDS])


def test_a_late_report_counts_for_the_interval_that_it_is_about() -> None:
    assert HISTORY_SPREAD_SECONDS + HISTORY_REDIS_SECONDS < HISTORY_SHORT_SECONDS / 2
    assert HISTORY_LONG_SECONDS % HISTORY_SHORT_SECONDS == 0


def test_a_replica_that_lags_does_not_count_as_a_redis_that_is_frozen() -> None:
    assert REPLICA_WAIT_SECONDS < INGEST_REDIS_SECONDS


def test_a_sentinel_that_is_silent_leaves_time_to_ask_the_next_one() -> None:
    assert 2 * SENTINEL_SHARE < 1
    assert BROKER_SENTINEL_SECONDS < WAKE_CONNECT_SECONDS < BROKER_CONNECT_SECONDS


def test_a_probe_of_ingest_that_fails_is_over_before_the_last_one_is_stale() -> None:
    failing = BREAKER_PROBE_SECONDS + (1 + REDIS_CONNECT_SHARE) * INGEST_REDIS_SECONDS

    assert rises([OPEN_BREAKER_PROBE_SECONDS, BREAKER_PROBE_SECONDS, STALE_PROBE_SECONDS])
    assert failing < STALE_PROBE_SECONDS
    assert rises([BREAKER_PROBE_SECONDS, REDIS_SETTINGS_SECONDS, STALE_PROBE_SECONDS])


def test_many_notes_of_the_size_of_the_inbox_tell_how_fast_it_grows() -> None:
    assert 10 * GROWTH_NOTED < GROWTH_SPAN


def test_a_few_notes_tell_how_many_events_arrive_before_they_are_too_old() -> None:
    assert rises([2 * GROWTH_NOTED.seconds, ARRIVAL_SPAN.seconds, GROWTH_SPAN.seconds])


def test_a_server_that_froze_is_known_by_what_is_not_settled_before_its_wait_ends() -> None:
    assert rises([DECIDING_SECONDS + BATCH_LOCK_SECONDS, SETTLING_SECONDS, ANSWER_SECONDS])


def test_a_client_that_was_refused_comes_back_when_the_breaker_has_had_time_to_close() -> None:
    assert OPEN_BREAKER_PROBE_SECONDS + INGEST_ANSWER_SECONDS < RETRY_AFTER_SECONDS


def test_a_stalled_client_is_closed_within_the_documented_time_and_no_waiting_one_is() -> None:
    assert INGEST.idle_seconds == INGEST_IDLE_SECONDS
    assert STALLED_SECONDS + STALLED_LOOK_SECONDS < INGEST_IDLE_SECONDS
    assert 2 * INGEST_ANSWER_SECONDS < STALLED_SECONDS


def test_a_server_that_stops_answers_its_open_requests_first() -> None:
    assert 2 * INGEST_ANSWER_SECONDS < SERVER_STOP_SECONDS < IngestService.stop_seconds
    assert PARENT_LOOK_SECONDS + SERVER_ORPHAN_SECONDS < PORT_SECONDS


def test_a_worker_that_stops_is_given_longer_than_its_pools() -> None:
    assert rises([GRACE_SECONDS, WorkerService.stop_seconds])
    assert OVERDUE_SECONDS == MAX_FALLBACK_RUN_SECONDS + TASK_SECONDS
    assert STUCK_GRACE_SECONDS < POOL_STUCK_SECONDS


def test_a_wake_up_that_was_lost_is_owed_again_soon() -> None:
    sending = WAKE_TURN_SECONDS + WAKE_CONNECT_SECONDS + WAKE_ANSWER_SECONDS

    assert rises([sending, WAKE_MESSAGE_SECONDS, REGISTRATION.total_seconds()])
    assert LONGEST_WAIT_SECONDS < PERIOD_SECONDS


def test_a_wake_up_is_dropped_when_another_is_owed_and_who_was_busy_is_free() -> None:
    assert max(WAKE_MESSAGE_SECONDS, MAX_RUN_SECONDS) < WAKE_KEPT_SECONDS


def test_a_pool_waits_longer_for_an_answer_of_the_broker_than_for_a_connection() -> None:
    assert rises([BROKER_AGAIN_SECONDS, BROKER_CONNECT_SECONDS, WORKER_REDIS_SECONDS])
    assert WORKER_REDIS_SECONDS < BROKER_HEALTH_SECONDS
    assert RESTORE_LOCK_SECONDS < VISIBILITY_SECONDS


def test_the_cause_of_a_slow_fetch_fails_before_what_contains_it() -> None:
    limits = [
        API_CONNECT_SECONDS,
        API_SILENCE_SECONDS,
        API_ANSWER_SECONDS,
        MAX_FETCH_SECONDS,
        MAX_FETCH_SECONDS + API_ANSWER_SECONDS,
        TASK_SECONDS,
        FETCH_STUCK_SECONDS,
    ]

    assert rises(limits)


def test_fetching_never_pauses_longer_than_the_longest_pause() -> None:
    longest = MAX_FETCH_REST.total_seconds()

    assert MIN_LIMITED_REST < MIN_FETCH_REST < MAX_FETCH_REST
    assert rises([MIN_LIMITED_REST.total_seconds(), API_LIMITED_SECONDS, longest])
    assert rises([API_FORBIDDEN_SECONDS, longest])


def test_a_supervisor_that_waits_for_redis_keeps_the_lead_and_its_announcement() -> None:
    calls_of_a_run = 4  # announce, lead, sweep and the backlog

    assert PERIOD_SECONDS + SUPERVISOR_REDIS_SECONDS < LEAD_SECONDS
    assert PERIOD_SECONDS + calls_of_a_run * SUPERVISOR_REDIS_SECONDS < ANNOUNCEMENT.total_seconds()


def test_a_supervisor_whose_calls_all_wait_as_long_as_they_may_is_not_called_stuck() -> None:
    calls_of_a_run = 8 + MAX_WAKES  # those above, three that look for memory and locks, unregister
    waiting = (1 + REDIS_CONNECT_SHARE) * SUPERVISOR_REDIS_SECONDS
    sending = WAKE_TURN_SECONDS + WAKE_CONNECT_SECONDS + WAKE_ANSWER_SECONDS

    assert calls_of_a_run * waiting + MAX_WAKES * sending < LOOP_STILL_SECONDS


def test_lost_data_is_looked_for_twice_in_a_second_and_kept_for_many_looks() -> None:
    assert 2 * DATA_WATCH_SECONDS <= 1
    assert rises(
        [
            DATA_WATCH_SECONDS + CONNECT_TIMEOUT_SECONDS + ANSWER_SECONDS,
            SETTLED_KEPT.total_seconds() / 2,
        ]
    )


def test_access_that_is_over_ends_well_within_a_minute() -> None:
    assert ACCESS_EXPIRY_SECONDS + ANSWER_SECONDS < 60


def test_the_first_plans_are_found_before_the_events_that_wait_for_them_are_due() -> None:
    assert FIRST_PLANS_SECONDS < OUTDATED_SECONDS


def test_numbering_rests_longer_after_a_failure_and_longest_on_a_slow_database() -> None:
    assert rises([NUMBERING_SECONDS, NUMBERING_FAILED_SECONDS, MAX_NUMBERING_REST_SECONDS])


def test_the_state_of_a_database_that_answers_late_is_not_stale() -> None:
    late = DATABASE_STATE_SECONDS + CONNECT_TIMEOUT_SECONDS + ANSWER_SECONDS

    assert late < STALE_DATABASE_STATE_SECONDS


def test_a_process_drains_without_wake_ups_before_the_pool_counts_as_stuck() -> None:
    assert rises([POOL_STARTS_APART_SECONDS, FALLBACK_AFTER_SECONDS, POOL_STUCK_SECONDS])


def test_what_a_step_of_the_clock_shortens_is_never_shortened_without_one() -> None:
    assert max(BREAKER_SECONDS, REOPEN_SECONDS) < MAX_BREAKER.total_seconds()
    assert rises([MAX_BACKOFF_SECONDS, MAX_DELAY.total_seconds()])
    assert MAX_FETCH_REST < MAX_DELAY
    shortened = (LEASE, REGISTRATION, ANNOUNCEMENT, APART, MAX_BREAKER, MAX_FETCH_REST)
    assert all(each > CLOCK_SLACK for each in shortened)


def test_backoff_ends_before_retrying_does() -> None:
    assert rises([MIN_LOCKED_BACKOFF_SECONDS, MIN_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS])
    assert rises([MAX_BACKOFF_SECONDS, MAX_RETRY_AGE.total_seconds()])
    assert MAX_RETRY_AGE < MARKER


def test_the_scripts_take_their_limits_from_the_table() -> None:
    sweep = source("sweep")

    assert f"local APART_MS = {APART // timedelta(milliseconds=1)}\n" in sweep
    assert f"local WAKE_MESSAGE_MS = {round(WAKE_MESSAGE_SECONDS * 1000)}\n" in sweep
    assert f"local SETTLED_KEPT_MS = {SETTLED_KEPT // timedelta(milliseconds=1)}\n" in source(
        "finish"
    )


@pytest.mark.parametrize("folder", ["ingest", "runtime", "workers"])
def test_no_other_module_of_delivery_holds_a_time_limit(folder: str) -> None:
    found = [
        f"{name}: {line.strip()}"
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in {".py", ".lua"} and path.name != "time_limits.py"
        for name in [str(path.relative_to(ROOT))]
        for line in path.read_text().splitlines()
        if LIMIT.search(line) and not any(name == at and word in line for at, word in NOT_LIMITS)
    ]

    assert found == []
