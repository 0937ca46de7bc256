"""PostgreSQL is frozen and not dead: its kernel acknowledges what it gets, and it never answers."""

import re
import time
from typing import Any

import pytest

from ops.up.servers.postgres_server import Postgres
from runtime.time_limits import (
    ANNOUNCEMENT,
    ANSWER_SECONDS,
    CONNECT_TIMEOUT_SECONDS,
    POOL_STUCK_SECONDS,
)
from tests.faults.fault_env import (
    FaultSite,
    command,
    metrics_url,
    scrape,
    until_both_processes_work,
    workers,
)
from tests.workers.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

FROZEN_SECONDS = 5.0 + max(
    POOL_STUCK_SECONDS, ANSWER_SECONDS + CONNECT_TIMEOUT_SECONDS, ANNOUNCEMENT.total_seconds()
)


def test_workers_that_wait_for_a_frozen_postgresql_are_seen_and_go_on_after_it(
    site_with_own_postgres: FaultSite, own_postgres: Postgres
) -> None:
    site = site_with_own_postgres
    with workers(site, PAIDUP_LOG_LEVEL="info") as worker:
        worker.until_ready()
        # A process without a session would fail while it connects.
        until_both_processes_work(site, own_postgres)
        site.until_drained()
        pool, metrics = worker.pool, metrics_url(site)
        own_postgres.freeze()
        thaws_at = time.monotonic() + FROZEN_SECONDS
        ids = site.take(range(100))
        until(site.inbox.breaker_open, seconds=2 * ANSWER_SECONDS, why="the breaker opened")
        seen = []
        while time.monotonic() < thaws_at:
            seen.append(site.inbox.backlog())
            scrape(metrics)
        status, findings = command(site, "status"), command(site, "doctor")
        scraped = scrape(metrics)
        own_postgres.thaw()
        site.check_result()
        same_pool = worker.pool == pool

    assert {backlog.processes for backlog in seen} == {2}
    assert {backlog.breaker is not None for backlog in seen} == {True}
    assert len({backlog.breaker.since for backlog in seen if backlog.breaker}) == 1
    assert seen[-1].claimed == 0, "no process still waits for an answer"
    assert same_pool, "a pool that waits for PostgreSQL is not restarted"
    assert set(ids) <= site.settled().keys()
    assert site.dead() == []
    _assert_reported(status, findings["findings"], scraped)
    assert "workers wait for PostgreSQL" in site.log.read_text()


def test_a_worker_that_starts_while_postgresql_is_frozen_is_seen(
    site_with_own_postgres: FaultSite, own_postgres: Postgres
) -> None:
    site = site_with_own_postgres
    own_postgres.freeze()
    with workers(site, PAIDUP_LOG_LEVEL="info") as worker:
        worker.until_ready()
        site.take(range(20))
        until(site.inbox.breaker_open, seconds=2 * ANSWER_SECONDS, why="the breaker opened")
        scrape(metrics_url(site))
        assert site.inbox.backlog().processes == 2
        own_postgres.thaw()
        site.check_result()


def _assert_reported(status: dict[str, Any], findings: list[dict[str, str]], scraped: str) -> None:
    assert status["workers"]["processes"] == 2
    assert status["inbox"]["breaker"]["since"]
    assert "PostgreSQL" in status["unavailable"]["postgresql"]
    says = [each["says"] for each in findings if each["check"] == "workers"]
    assert len(says) == 1
    assert "breaker open since" in says[0]
    waited = re.search(r"^billing_breaker_open_seconds (\S+)$", scraped, re.MULTILINE)
    assert waited is not None
    assert float(waited[1]) > 1
