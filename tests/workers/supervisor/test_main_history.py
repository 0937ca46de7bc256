"""The supervisor that leads reports the inbox; all others leave it to that one."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.history.reader import history_of
from runtime.history.spans import HOUR
from runtime.metrics_files import claimed_folder
from runtime.settings import Settings
from tests.workers.worker_process import WorkerSite, customers
from workers.supervisor.main import Supervisor

pytestmark = pytest.mark.servers

IDLE_POOL = (sys.executable, "-c", "import time; time.sleep(60)")


@pytest.fixture
def site(database: str, redis_url: str, tmp_path: Path) -> Iterator[WorkerSite]:
    site = WorkerSite(database, redis_url, tmp_path / "worker.log")
    yield site
    site.close()


@pytest.fixture
def supervisor(site: WorkerSite, tmp_path: Path) -> Iterator[Supervisor]:
    environ = dict(site.environ)
    with claimed_folder(tmp_path / "metrics", environ) as folder:
        yield Supervisor(Settings.from_env(environ), folder, IDLE_POOL)


def test_only_the_supervisor_that_leads_reports_the_inbox(
    site: WorkerSite, supervisor: Supervisor
) -> None:
    site.accept(customers(range(3)))
    key = f"paidup:{HOUR.key}"

    supervisor._history.report()
    assert site.redis.exists(key) == 0

    supervisor._leads = True
    supervisor._history.report()

    fields: Any = site.redis.hvals(key)
    intervals = history_of(HOUR, fields, now=time.time() + 20).intervals
    (inbox,) = [each.inbox for each in intervals if each.inbox is not None]
    assert (inbox.backlog, inbox.dead_letters) == (3, None)  # PostgreSQL was not asked yet
