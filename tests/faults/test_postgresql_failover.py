"""PostgreSQL fails over to a real standby, again and again, while events come in."""

import os
import time
from itertools import cycle, islice

import psycopg
import pytest

from runtime.time_limits import ANSWER_SECONDS, OUTAGE_SECONDS
from tests.faults.fault_env import FaultSite, trickle, until_both_processes_work, workers
from tests.postgres_pair import PostgresPair, Way, ask
from tests.workers.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

FAILOVERS = 20 if os.environ.get("PAIDUP_TEST_FULL") else 4
WAYS: tuple[Way, ...] = ("read-only", "read-only", "killed", "frozen")
"""Read-only twice: the probe begins after the first failover, and the second meets what it left."""
SETTLES_WITHIN = 10.0
"""Seconds from the first write that the new primary accepts to the first event it settles."""


def test_after_each_failover_events_are_settled_again_and_none_is_lost_or_doubled(
    site_with_pair: FaultSite, synchronous_pair: PostgresPair
) -> None:
    site, pair = site_with_pair, synchronous_pair
    waited = []
    with workers(site) as worker:
        worker.until_ready()
        with trickle(site, rate=50, names=int):
            for way in islice(cycle(WAYS), FAILOVERS):
                _until_more_settle(pair)
                until_both_processes_work(site, pair.primary)
                pair.fail_over(way)
                waited.append((way, _seconds_until_one_more_settles(pair)))
                # While the old primary still lives: no worker may stay with it.
                _until_more_settle(pair)
                pair.rebuild_standby()
        site.check_result()

    late = [each for each in waited if each[1] > SETTLES_WITHIN]
    assert late == [], waited
    assert site.dead() == []


def test_events_wait_uncharged_while_commits_wait_for_a_standby_that_is_away(
    site_with_pair: FaultSite, synchronous_pair: PostgresPair
) -> None:
    site, pair = site_with_pair, synchronous_pair
    with workers(site) as worker:
        worker.until_ready()
        site.take(range(20))
        site.until_drained()
        pair.standby.stop()
        ids = site.take(range(20, 120))
        until(site.inbox.breaker_open, seconds=2 * ANSWER_SECONDS, why="the breaker opened")
        opened = site.inbox.breaker()
        ends_at = time.monotonic() + ANSWER_SECONDS + OUTAGE_SECONDS
        until(lambda: time.monotonic() > ends_at, why="a worker would have tried again")
        still = site.inbox.breaker()
        attempts = {int(each.history.get("attempts", 0)) for each in site.inbox.peek(ids)}
        pair.standby.start()
        site.check_result()

    assert opened is not None
    assert still is not None
    assert opened.since == still.since, "the breaker did not close in between"
    assert attempts == {0}
    assert site.dead() == []


def _until_more_settle(pair: PostgresPair) -> None:
    least = _settled(pair) + 50
    until(lambda: _settled(pair) >= least, seconds=60, why="events are settled")


def _seconds_until_one_more_settles(pair: PostgresPair) -> float:
    until(lambda: _takes_writes(pair), seconds=60, why="the new primary takes writes")
    started, before = time.monotonic(), _settled(pair)
    until(lambda: _settled(pair) > before, seconds=60, why="the new primary settles an event")
    return time.monotonic() - started


def _takes_writes(pair: PostgresPair) -> bool:
    try:
        ask(pair.primary, "CREATE TEMPORARY TABLE first_write ()")
    except psycopg.Error:
        return False
    return True


def _settled(pair: PostgresPair) -> int:
    return int(ask(pair.primary, "SELECT count(*) FROM stripe_events")[0])
