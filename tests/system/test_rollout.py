"""New plans under load: real processes, some of which are killed or have old plans files."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import text

from billing.envelope import parse
from ops.demo.plans import PLANS
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from runtime.ledger.catalogues import install_first
from runtime.plans_file import read_plans
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import checkout, delivery, event
from tests.workers.waiting import until
from tests.workers.worker_process import WorkerProcess, WorkerSite, running

pytestmark = pytest.mark.servers

OLD = PLANS.read_text()
NEW = OLD.replace("max_devices = 5", "max_devices = 7")


class RolloutScene:
    """A deployment, a new plans file, and the command that applies it."""

    def __init__(self, site: WorkerSite, folder: Path) -> None:
        self.site = site
        self.folder = folder
        self.old, self.new = folder / "old.toml", folder / "new.toml"
        self.old.write_text(OLD)
        self.new.write_text(NEW)
        install_first(site.engine, read_plans(self.old), actor="tests", reason="tests")

    def apply(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "ops.cli", "plans", "apply", *arguments, "--reason", "autumn"],
            env={**self.site.environ, "PAIDUP_PLANS": str(self.new)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def worker(self, name: str, stack: ExitStack) -> WorkerProcess:
        """Run a worker whose plans file is the old one."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        own = {"PAIDUP_PLANS": str(self.old), "PAIDUP_DATA_DIR": str(folder)}
        return stack.enter_context(running(self.site, PAIDUP_WORKER_PROCESSES="1", **own))

    def scalars(self, query: str) -> list[Any]:
        with self.site.engine.connect() as connection:
            return list(connection.scalars(text(query)))

    def following(self, version: int) -> int:
        (number,) = self.scalars(
            f"SELECT count(*) FROM parties WHERE catalogue_version = {version}"  # noqa: S608
        )
        return int(number)

    def command_sessions(self) -> int:
        """Return how many sessions of commands PostgreSQL has."""
        (number,) = self.scalars(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'paidup %'"
        )
        return int(number)

    @contextmanager
    def traffic(self) -> Iterator[list[str]]:
        """Accept one subscriber after another until the block ends; yield their users."""
        users: list[str] = []
        stop = Event()

        def subscribe() -> None:
            while not stop.is_set():
                self._subscribe(len(users))
                users.append(f"usr_{len(users)}")
                until(lambda: self.site.inbox.backlog().events < 50, seconds=60, why="a worker")

        with ThreadPoolExecutor(1) as thread:
            coming = thread.submit(subscribe)
            try:
                yield users
            finally:
                stop.set()
            coming.result()

    def _subscribe(self, number: int) -> None:
        lifecycle = compose(
            "renewal",
            shape=Shape.NEW,
            seed=f"{number}",
            now=1_795_000_000,
            user_id=f"usr_{number}",
        )
        self.site.accept(parse(each.body) for each in lifecycle.events)


@pytest.fixture
def rollout(database: str, redis_url: str, tmp_path: Path) -> Iterator[RolloutScene]:
    site = WorkerSite(database_url=database, redis_url=redis_url, log=tmp_path / "worker.log")
    yield RolloutScene(site, tmp_path)
    site.close()


def test_two_workers_with_an_old_file_move_no_user_back(rollout: RolloutScene) -> None:
    """Kill one of them meanwhile and start it again with the old file."""
    with ExitStack() as stack:
        first = rollout.worker("first", stack)
        rollout.worker("second", stack)
        with rollout.traffic() as users:
            until(lambda: rollout.following(1) > 15, seconds=60, why="some follow the old plans")
            applying = rollout.apply()
            first.kill()
            rollout.worker("third", stack)
            output, _ = applying.communicate(timeout=120)
            assert applying.returncode == 0, output
            before = len(users)
            until(lambda: len(users) > before + 15, seconds=60, why="more came")
        rollout.site.until_drained()

    assert rollout.following(1) == 0
    assert rollout.following(2) == len(users)
    values = "SELECT DISTINCT value FROM effective_entitlements WHERE feature = 'max_devices'"
    assert rollout.scalars(values) == [7]
    assert rollout.scalars("SELECT max(version) FROM catalogues") == [2]
    flips = (
        "SELECT count(*) FROM audit_logs WHERE after #>> '{entitlements,max_devices}' = '5'"
        " AND (before #>> '{entitlements,max_devices}' = '7'"
        " OR after ->> 'catalogue_version' <> '1')"
    )
    assert rollout.scalars(flips) == [0]
    both = "SELECT DISTINCT after ->> 'catalogue_version' FROM audit_logs WHERE after ? 'active'"
    assert {each for each in rollout.scalars(both) if each} == {"1", "2"}


def test_an_apply_that_is_killed_again_and_again_continues(rollout: RolloutScene) -> None:
    buyers = 1500
    ledger = ledger_on(rollout.site.engine)
    for start in range(0, buyers, 100):
        ledger.record(
            [
                delivery(
                    event(
                        "checkout.session.completed",
                        checkout(f"cs_{number}", client_reference_id=f"usr_{number}"),
                    )
                )
                for number in range(start, start + 100)
            ]
        )
    done = [0]
    while len(done) < 4:
        applying = rollout.apply(*(["--resume"] if done[-1] else []))
        before = done[-1]
        until(lambda: rollout.following(2) > before, seconds=60, why="it has started")  # noqa: B023
        applying.send_signal(signal.SIGKILL)
        assert applying.wait(30) == -signal.SIGKILL
        applying.communicate()
        # A COMMIT that was under way may still take effect.
        until(lambda: rollout.command_sessions() == 0, seconds=60, why="PostgreSQL is done")
        done.append(rollout.following(2))
    assert done == sorted(set(done))
    assert done[-1] < buyers

    last = rollout.apply("--resume")
    output, _ = last.communicate(timeout=120)

    assert f"{buyers - done[-1]} parties use older ones" in output
    assert rollout.following(2) == buyers
    changed = "SELECT count(*) FROM audit_logs WHERE action = 'entitlement.changed'"
    assert rollout.scalars(changed) == [buyers]
    assert rollout.scalars("SELECT count(*) FROM catalogues") == [2]
