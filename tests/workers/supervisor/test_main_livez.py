"""`/livez` of a whole supervisor: servers that are frozen say nothing about it, its loops do."""

import json
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.up.servers.ports import free_port
from ops.up.servers.postgres_server import Postgres
from ops.up.servers.redis_server import Redis
from runtime.metrics_files import claimed_folder
from runtime.schema import upgrade
from runtime.settings import Settings
from runtime.time_limits import LOOP_STILL_SECONDS
from tests.workers.waiting import until
from tests.workers.worker_process import WorkerSite, customers
from workers.supervisor.main import Supervisor

pytestmark = pytest.mark.servers

SLEEPING_POOL = (sys.executable, "-c", "import time; time.sleep(60)")


class SupervisorUnderTest:
    """A supervisor in this process, whose clock can be set forward and whose moves are counted."""

    def __init__(self, site: WorkerSite, folder: Path) -> None:
        self.site = site
        self.port = free_port()
        environ = {**site.environ, "PAIDUP_WORKER_METRICS_BIND": f"127.0.0.1:{self.port}"}
        self.supervisor = Supervisor(Settings.from_env(environ), folder, SLEEPING_POOL)
        self.moves = Counter[str]()
        self.ahead = 0.0
        progress = self.supervisor._progress
        progress._clock = lambda: time.monotonic() + self.ahead
        move = progress.move

        def count(loop: str) -> None:
            self.moves[loop] += 1
            move(loop)

        progress.move = count  # type: ignore[method-assign]

    def livez(self) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/livez", timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.load(refused)


@pytest.fixture
def under_test(
    own_postgres: Postgres, own_redis: Redis, tmp_path: Path
) -> Iterator[SupervisorUnderTest]:
    site = WorkerSite(own_postgres.url, own_redis.url, tmp_path / "worker.log")
    upgrade(site.engine)
    with claimed_folder(tmp_path / "metrics", dict(site.environ)) as folder:
        yield SupervisorUnderTest(site, folder)
    site.close()


def test_a_supervisor_is_alive_while_its_pool_is_busy_and_both_servers_are_frozen(
    under_test: SupervisorUnderTest, own_postgres: Postgres, own_redis: Redis
) -> None:
    asked = []
    under_test.site.accept(customers(range(1)))
    ends_at = time.monotonic() + 60
    own_postgres.freeze()
    own_redis.freeze()

    def moved() -> bool:
        if min(under_test.moves.values(), default=0) < 3 or len(under_test.moves) < 2:
            assert time.monotonic() < ends_at, f"the loops moved {under_test.moves}"
            return False
        asked.append(under_test.livez())
        own_redis.thaw()
        own_postgres.thaw()
        return True

    assert under_test.supervisor.run(moved) == 0
    assert asked == [(200, {"status": "alive"})]


def hang(under_test: SupervisorUnderTest, while_it_hangs: Callable[[], None]) -> None:
    """Let the first look at the pools take until ``while_it_hangs`` returns."""
    looked: list[int] = []

    def look() -> None:
        looked.append(1)
        if len(looked) == 1:
            while_it_hangs()

    under_test.supervisor._watch_pools = look  # type: ignore[method-assign]
    assert under_test.supervisor.run(lambda: len(looked) > 1) == 0


def test_a_loop_that_hangs_is_named_and_alive_again_once_it_goes_on(
    under_test: SupervisorUnderTest,
) -> None:
    def wait() -> None:
        under_test.ahead = LOOP_STILL_SECONDS + 1
        # The other loop moves meanwhile.
        until(lambda: "jobs" not in under_test.livez()[1].get("reason", "jobs"), seconds=30)
        status, says = under_test.livez()
        assert status == 503
        assert says["status"] == "stuck"
        assert says["reason"].startswith("the loop of the pools has not moved for 6")

    hang(under_test, wait)

    assert under_test.supervisor._progress.reason_to_restart() is None
