"""An upgrade while events arrive: the schema of the next release, with workers of this one."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.next_schema import NextReleases
from tests.workers.waiting import until
from tests.workers.worker_process import (
    REPOSITORY,
    WorkerProcess,
    WorkerSite,
    customers,
    running,
)

pytestmark = pytest.mark.servers

EXPAND = (
    "ALTER TABLE customers ADD COLUMN note TEXT",
    "ALTER TABLE stripe_events ADD COLUMN weight BIGINT DEFAULT 1 NOT NULL",
    "CREATE TABLE notes (customer TEXT PRIMARY KEY)",
)
CONTRACT = ("ALTER TABLE customers DROP COLUMN note",)
REFUSED = "the schema (revision 0003) needs Paidup 0.2.0 or newer, and this is 0.1.0"


@pytest.fixture
def site(database: str, redis_url: str, tmp_path: Path) -> Iterator[WorkerSite]:
    site = WorkerSite(database, redis_url, tmp_path / "worker.log")
    site.install_plans()
    yield site
    site.close()


def worker_of(site: WorkerSite, release: str) -> AbstractContextManager[WorkerProcess]:
    folder = site.log.parent / release
    folder.mkdir(exist_ok=True)
    return running(
        site, "tests.system.release_worker", TEST_RELEASE=release, PAIDUP_DATA_DIR=str(folder)
    )


def start_that_is_refused(site: WorkerSite, release: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.system.release_worker"],
        env={**site.environ, "TEST_RELEASE": release},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_workers_go_on_while_a_schema_allows_them_and_then_leave_events_to_the_next_release(
    site: WorkerSite, tmp_path: Path
) -> None:
    releases = NextReleases(site.engine, tmp_path / "next")
    with worker_of(site, "0.1.0") as worker:
        worker.until_ready()
        ids = site.accept(customers(range(200)))
        releases.migrate(EXPAND, oldest_release="0.1.0")
        ids += site.accept(customers(range(200, 300)))
        site.until_drained()
        site.assert_each_applied_once(ids)

        releases.migrate(CONTRACT, oldest_release="0.2.0")
        ids += site.accept(customers(range(300, 400)))
        until(lambda: REFUSED in site.log.read_text(), seconds=60, why="the worker says why")
        assert site.settled_count() == 300
        assert site.inbox.backlog().events == 100

        again = start_that_is_refused(site, "0.1.0")
        assert (again.returncode, again.stderr.count("\n")) == (2, 1)
        assert REFUSED in again.stderr

        with worker_of(site, "0.2.0"):
            site.until_drained()

    site.assert_each_applied_once(ids)
    assert site.dead() == []


def test_a_release_that_was_put_back_works_on_a_schema_that_allows_it(
    site: WorkerSite, tmp_path: Path
) -> None:
    NextReleases(site.engine, tmp_path / "next").migrate(EXPAND, oldest_release="0.1.0")

    with worker_of(site, "0.1.0"):
        ids = site.accept(customers(range(50)))
        site.until_drained()

    site.assert_each_applied_once(ids)
