"""PgBouncer stands between workers and PostgreSQL, and parts of both die."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import psycopg
import pytest

from ops.up.servers.postgres_server import Postgres
from tests.faults.broken_surroundings import (
    EVENTS,
    RENEWED,
    forbid_writing,
    open_breaker,
    revoke_a_right,
)
from tests.faults.fault_env import FaultSite, command, count, trickle, workers
from tests.pgbouncer import PgBouncer, pgbouncer
from tests.postgres_pair import ask
from tests.workers.waiting import until
from tests.workers.worker_process import WorkerProcess

pytestmark = pytest.mark.servers

SESSIONS = {"transaction": 3, "session": 50}
"""In transaction mode fewer than the workers' processes and threads, so they take turns in every
session; in session mode one for each connection."""
_DEFAULTS = (
    "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),"
    " current_setting('idle_in_transaction_session_timeout'), current_setting('TimeZone'),"
    " current_setting('bytea_output'), current_setting('search_path'),"
    " (SELECT count(*)::text FROM pg_prepared_statements),"
    " (SELECT count(*)::text FROM pg_listening_channels())"
)
_OF_OTHERS = ("0", "0", "0", "Asia/Kathmandu", "escape", '"$user", public', "0", "0")


@pytest.fixture
def pool_mode() -> str:
    """Return the mode of the pooler; a test may ask for another one."""
    return "transaction"


@pytest.fixture
def pooled_site(
    site_with_own_postgres: FaultSite,
    own_postgres: Postgres,
    servers_folder: Path,
    tmp_path: Path,
    pool_mode: str,
) -> Iterator[tuple[FaultSite, PgBouncer]]:
    """Yield a site whose workers reach PostgreSQL through a pooler; the test itself does not."""
    site = site_with_own_postgres
    site.engine.dispose()
    for setting, value in (("TimeZone", "Asia/Kathmandu"), ("bytea_output", "escape")):
        ask(own_postgres, f"ALTER DATABASE paidup SET {setting} = '{value}'")
    folder = servers_folder / f"pooler-{tmp_path.name[-20:]}"
    sessions = SESSIONS[pool_mode]
    with pgbouncer(folder, own_postgres, pool_mode=pool_mode, default_pool_size=sessions) as pooler:
        site.environ["DATABASE_URL"] = pooler.url
        yield site, pooler


@contextmanager
def another_application(url: str) -> Iterator[set[tuple[str, ...]]]:
    """Use the same pool until the block ends; yield what its sessions were set to so far."""
    stopped, found = Event(), set[tuple[str, ...]]()

    def ask_again() -> None:
        while not stopped.is_set():
            try:
                with psycopg.connect(url, connect_timeout=3, prepare_threshold=None) as connection:
                    while not stopped.wait(0.02):
                        found.add(tuple(connection.execute(_DEFAULTS).fetchone() or ()))
                        connection.rollback()
            # In session mode PgBouncer tells an idle client that its session died, and psycopg
            # takes the message for a second answer to its next BEGIN.
            except (psycopg.OperationalError, psycopg.InternalError):
                stopped.wait(0.2)

    thread = Thread(target=ask_again, name="another application")
    thread.start()
    try:
        yield found
    finally:
        stopped.set()
        thread.join()


def end_a_session_at_work(server: Postgres) -> None:
    """End the server session of a worker in the middle of a transaction, as an operator may."""
    ended = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE 'paidup-worker%' AND xact_start IS NOT NULL LIMIT 1"
    )
    until(lambda: ask(server, ended) == (True,), why="a session at work was ended")


def restart_pooler(pooler: PgBouncer, *, killed: bool) -> None:
    if killed:
        pooler.kill()
    else:
        pooler.stop()
    pooler.start()


def restart_server(server: Postgres, *, killed: bool) -> None:
    if killed:
        server.kill()
    else:
        server.stop()
    server.start()


def most_attempts(site: FaultSite) -> int:
    return count(site, "SELECT coalesce(max(attempts), 0) FROM stripe_events")


def until_more_settle(site: FaultSite) -> None:
    least = site.settled_count() + 40
    until(lambda: site.settled_count() >= least, why=f"events settle; see {site.log}")


def until_both_ready(site: FaultSite, *running: WorkerProcess) -> None:
    until(lambda: all(len(each.children) == 2 for each in running), why="both have children")
    until(lambda: site.inbox.backlog().processes == 4, why="both are announced")


@pytest.mark.parametrize("pool_mode", SESSIONS)
def test_workers_share_sessions_and_leave_nothing_in_them(
    pooled_site: tuple[FaultSite, PgBouncer],
) -> None:
    site, pooler = pooled_site
    with workers(site) as one, workers(site) as two, another_application(pooler.url) as found:
        until_both_ready(site, one, two)
        site.take(range(1500))
        site.check_result()
        until(lambda: bool(found), why="the other application had a session")

    assert found == {_OF_OTHERS}
    assert (site.dead(), most_attempts(site)) == ([], 1)


@pytest.mark.slow
@pytest.mark.parametrize("pool_mode", SESSIONS)
def test_no_event_is_charged_lost_or_doubled_whatever_dies_behind_a_pooler(
    pooled_site: tuple[FaultSite, PgBouncer], own_postgres: Postgres
) -> None:
    site, pooler = pooled_site
    faults: tuple[Callable[[], None], ...] = (
        lambda: restart_pooler(pooler, killed=True),
        lambda: end_a_session_at_work(own_postgres),
        lambda: restart_server(own_postgres, killed=True),
        lambda: restart_pooler(pooler, killed=False),
        lambda: restart_server(own_postgres, killed=False),
    )
    with workers(site) as one, workers(site) as two, another_application(pooler.url) as found:
        until_both_ready(site, one, two)
        with trickle(site, rate=60, names=int):
            for fault in (*faults, *faults):
                until_more_settle(site)
                # The test's own connection is none that this fault is about.
                site.engine.dispose()
                fault()
            until_more_settle(site)
        site.check_result()

    assert found == {_OF_OTHERS}
    assert (site.dead(), most_attempts(site)) == ([], 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (forbid_writing, "read-only transaction"),
        (revoke_a_right, "permission denied for table payment_events"),
    ],
)
def test_what_every_event_meets_behind_a_pooler_is_charged_to_none_until_it_is_mended(
    pooled_site: tuple[FaultSite, PgBouncer],
    break_it: Callable[[FaultSite], Callable[[], None]],
    says: str,
) -> None:
    site, pooler = pooled_site
    with workers(site, PAIDUP_LOG_LEVEL="info") as worker, another_application(pooler.url):
        worker.until_ready()
        mend = break_it(site)
        site.take(range(EVENTS))
        until(site.inbox.breaker_open, seconds=30, why=f"the breaker opens; see {site.log}")
        opened = open_breaker(site)
        renewed = opened.until + RENEWED
        until(lambda: open_breaker(site).until > renewed, seconds=30, why="probes fail")
        last, findings = open_breaker(site), command(site, "doctor")["findings"]
        assert site.dead() == []
        mend()
        site.check_result()

    assert last.since == opened.since, "no probe has closed it in between"
    assert any(says in each["says"] for each in findings if each["check"] == "workers")
    assert says in site.log.read_text()
    assert (site.dead(), most_attempts(site)) == ([], 1)
