"""The supervisor starts a process when a comparison with Stripe is due, and one at a time."""

import os
import signal
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from models.tables import StripeRun
from runtime.database.engine import engine_for
from runtime.reconciling import ComparedPart
from runtime.settings import Settings
from tests.workers.waiting import until
from workers.supervisor.reconcile_process import RECONCILE_COMMAND, ReconcileProcess

pytestmark = pytest.mark.servers

WRITE_AND_WAIT = (
    "import sys, time, tempfile; tempfile.NamedTemporaryFile(dir=sys.argv[1], delete=False);"
    " time.sleep(600)"
)
KEY = {"STRIPE_API_KEY": "sk_test_unused"}


class ComparedSite:
    """A database, and a supervisor whose process only notes that it was started."""

    def __init__(self, url: str, folder: Path) -> None:
        self.engine = engine_for(url, application_name="test")
        self.folder = folder
        self.leads = True
        self.process = self.supervise()

    def supervise(self, **environ: str) -> ReconcileProcess:
        return ReconcileProcess(
            self.engine,
            Settings.from_env({**KEY, **environ}),
            lambda: self.leads,
            command=(sys.executable, "-c", WRITE_AND_WAIT, str(self.folder)),
        )

    def run_now(self, part: ComparedPart, **given: Any) -> None:
        said = {"parts": [part], "whole": True, "scheduled": True}
        values = {"kind": "reconcile", "realm": "test", "actor": "schedule", "state": "done"}
        with self.engine.begin() as connection:
            run = sa.insert(StripeRun).values(**{**values, **given}, said=said, rate=1.0)
            connection.execute(run)

    def started(self) -> int:
        return len(list(self.folder.iterdir()))


@pytest.fixture
def site(database: str, tmp_path: Path) -> Iterator[ComparedSite]:
    folder = tmp_path / "started"
    folder.mkdir()
    site = ComparedSite(database, folder)
    yield site
    site.process.stop(10)
    site.engine.dispose()


def test_the_first_comparison_is_due_at_once_and_started_once(site: ComparedSite) -> None:
    site.process.start_if_due()
    until(lambda: site.started() == 1)

    site.process.start_if_due()

    assert (site.started(), len(site.process.pids)) == (1, 1)


@pytest.mark.parametrize("environ", [{"PAIDUP_RECONCILE": "0"}, {"PAIDUP_LIVEMODE": "live"}])
def test_nothing_is_started_where_nothing_is_compared(
    site: ComparedSite, environ: dict[str, str]
) -> None:
    supervisor = site.supervise(**environ)

    supervisor.start_if_due()

    assert supervisor.pids == ()


def test_a_supervisor_that_does_not_lead_starts_nothing(site: ComparedSite) -> None:
    site.leads = False

    site.process.start_if_due()

    assert site.process.pids == ()


def test_nothing_is_started_while_every_loop_is_recent(site: ComparedSite) -> None:
    for part in ComparedPart:
        site.run_now(part)

    site.process.start_if_due()

    assert site.process.pids == ()


def test_a_run_that_was_killed_goes_on_at_once(site: ComparedSite) -> None:
    for part in ComparedPart:
        site.run_now(part)
    beaten_at = sa.func.now() - timedelta(hours=1)
    site.run_now(ComparedPart.EVENTS, state="running", owner="gone:1:x", heartbeat_at=beaten_at)

    site.process.start_if_due()

    assert len(site.process.pids) == 1


def test_a_process_that_ended_is_noticed_and_started_again(site: ComparedSite) -> None:
    site.process.start_if_due()
    until(lambda: site.started() == 1)
    (pid,) = site.process.pids
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

    site.process.start_if_due()

    until(lambda: site.started() == 2)


def test_an_unreachable_database_stops_nothing_but_the_look() -> None:
    engine = engine_for("postgresql://127.0.0.1:1/none", application_name="test")
    process = ReconcileProcess(engine, Settings.from_env(KEY), lambda: True)

    with capture_logs() as logs:
        process.start_if_due()

    assert process.pids == ()
    assert [each["event"] for each in logs] == ["cannot look for reconciliations"]


def test_the_command_is_one_that_a_person_can_run() -> None:
    assert RECONCILE_COMMAND[1:] == ("-m", "paidup", "reconcile", "--scheduled")
