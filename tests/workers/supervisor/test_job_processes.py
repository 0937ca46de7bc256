"""The supervisor starts a process for each plan that nobody runs, and starts it again."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from models.tables import BulkPlan
from tests.workers.waiting import until
from workers.supervisor.job_processes import JobProcesses

pytestmark = pytest.mark.servers

WRITE_AND_WAIT = (
    "import sys, time, pathlib; pathlib.Path(sys.argv[1], sys.argv[2]).touch(); time.sleep(600)"
)


class JobSite:
    """A database with plans, and a supervisor whose jobs only note that they were started."""

    def __init__(self, url: str, folder: Path) -> None:
        self.engine = sa.create_engine(url)
        self.folder = folder
        self.now = 0.0
        self.leads = True
        self.jobs = JobProcesses(
            self.engine,
            lambda: self.leads,
            lambda: self.now,
            command=(sys.executable, "-c", WRITE_AND_WAIT, str(folder)),
        )

    def plan(self, state: str, *, age: str | None = None) -> int:
        values = {
            "action": "replay",
            "actor": "console:ada",
            "reason": "a test",
            "said": {},
            "items": 1,
            "fingerprint": "",
            "release": "1",
            "state": state,
            "owner": age and "another:1",
            "heartbeat_at": age and sa.text(f"now() - interval '{age}'"),
        }
        with self.engine.begin() as connection:
            made = sa.insert(BulkPlan).values(**values).returning(BulkPlan.id)
            return int(connection.execute(made).scalar_one())

    def started(self) -> set[int]:
        """Return the plans whose processes have begun, once as many have as run."""
        until(lambda: len(list(self.folder.iterdir())) >= len(self.jobs.pids))
        return {int(path.name) for path in self.folder.iterdir()}


@pytest.fixture
def site(database: str, tmp_path: Path) -> Iterator[JobSite]:
    folder = tmp_path / "started"
    folder.mkdir()
    site = JobSite(database.replace("postgresql://", "postgresql+psycopg://"), folder)
    yield site
    site.jobs.stop(10)
    site.engine.dispose()


def test_only_plans_to_run_or_preview_that_no_living_process_has_are_started(
    site: JobSite,
) -> None:
    for state in ("planned", "previewed", "waiting", "paused", "cancelled", "done"):
        site.plan(state)
    site.plan("running", age="1 second")
    abandoned, asked = site.plan("running", age="1 hour"), site.plan("previewing")

    site.jobs.keep_running()

    assert site.started() == {abandoned, asked}


def test_who_does_not_lead_starts_nothing(site: JobSite) -> None:
    site.plan("running")
    site.leads = False

    site.jobs.keep_running()

    assert not [*site.jobs.pids]


def test_a_killed_process_is_started_again_after_a_while(site: JobSite) -> None:
    plan = site.plan("running")
    site.jobs.keep_running()
    (first,) = site.jobs.pids
    os.kill(first, signal.SIGKILL)
    until(lambda: not site.jobs.pids, meanwhile=site.jobs.keep_running)

    site.jobs.keep_running()
    assert not [*site.jobs.pids]
    site.now += 60
    site.jobs.keep_running()

    assert len(site.jobs.pids) == 1
    assert site.started() == {plan}


def test_at_most_two_run_at_once(site: JobSite) -> None:
    for _ in range(3):
        site.plan("running")

    site.jobs.keep_running()
    site.jobs.keep_running()

    assert len(site.jobs.pids) == 2


def test_a_stop_ends_them(site: JobSite) -> None:
    site.plan("running")
    site.jobs.keep_running()
    (pid,) = site.jobs.pids
    site.started()

    site.jobs.stop(10)

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
