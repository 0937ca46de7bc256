import errno
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from runtime.inbox.durability import CLUSTER
from runtime.metrics_files import claimed_folder
from runtime.settings import Settings
from tests.workers.waiting import until
from tests.workers.worker_process import WorkerSite, customers, running
from workers.supervisor import main as supervisor
from workers.supervisor.main import Supervisor
from workers.supervisor.watchdog import Watchdog

pytestmark = pytest.mark.servers

SLEEPING_POOL = (sys.executable, "-c", "import time; time.sleep(60)")


class SteppingClock:
    """A clock that advances by ten seconds each time it is read."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 10.0
        return self.now


@pytest.fixture
def site(database: str, redis_url: str, tmp_path: Path) -> Iterator[WorkerSite]:
    site = WorkerSite(database, redis_url, tmp_path / "worker.log")
    yield site
    site.close()


@pytest.fixture
def sleeping(site: WorkerSite, tmp_path: Path) -> Iterator[Supervisor]:
    environ = dict(site.environ)
    with claimed_folder(tmp_path / "metrics", environ) as folder:
        yield Supervisor(
            Settings.from_env(environ), folder, SLEEPING_POOL, watchdog=Watchdog(SteppingClock())
        )


def test_a_pool_that_sleeps_while_events_are_due_is_started_again(
    site: WorkerSite, sleeping: Supervisor
) -> None:
    site.accept(customers(range(1)))

    with structlog.testing.capture_logs() as lines:
        code = sleeping.run(
            lambda: [line["event"] for line in lines].count("worker pool started") > 1
        )

    assert code == 0
    assert any(line["event"].startswith("worker pool is stuck") for line in lines)


@pytest.mark.parametrize("step", ["_watch_pools", "_release_orphans"])
def test_an_error_of_the_loop_that_watches_the_pools_does_not_end_it(
    sleeping: Supervisor, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(sleeping, step, fail)

    with structlog.testing.capture_logs() as lines:
        assert sleeping.run(lambda: len(calls) > 2) == 0

    assert [line["event"] for line in lines].count("a step failed; the loop goes on") == 1


def test_what_postgresql_holds_is_read_while_redis_is_away(
    site: WorkerSite, tmp_path: Path
) -> None:
    environ = {**site.environ, "REDIS_URL": "redis://127.0.0.1:1"}
    with claimed_folder(tmp_path / "metrics", environ) as folder:
        alone = Supervisor(Settings.from_env(environ), folder, SLEEPING_POOL)
        alone._leads = True  # since before Redis was away
        given_up = time.monotonic() + 20

        alone.run(
            lambda: (
                alone._database_state.state().dead_letters is not None
                or time.monotonic() > given_up
            )
        )

    assert alone._database_state.state().dead_letters == 0


def test_a_second_worker_on_the_same_address_gets_a_folder_of_its_own(
    site: WorkerSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    settings = Settings.from_env({**site.environ, "PAIDUP_DATA_DIR": str(tmp_path)})

    with (
        supervisor.metrics_folder(settings) as first,
        supervisor.metrics_folder(settings) as second,
    ):
        assert first != second


def test_a_worker_on_a_cluster_says_what_to_use_instead(
    database: str, cluster_url: str, tmp_path: Path
) -> None:
    site = WorkerSite(database, cluster_url, tmp_path / "worker.log")
    try:
        with running(site):
            until(lambda: CLUSTER in site.log.read_text(), why=f"named; see {site.log}")
    finally:
        site.close()

    (line,) = [line for line in site.log.read_text().splitlines() if CLUSTER in line]
    assert "this Redis cannot be used" in line
