"""A process that is killed while its children start leaves none of them behind."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.process_tree import ProcessTree
from tests.workers.waiting import until

pytestmark = [
    pytest.mark.servers,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes by /proc of Linux"),
]

MOMENTS = 50 if os.environ.get("PAIDUP_TEST_FULL") else 8
LEFT_AFTER_SECONDS = 90.0
SETTLED_SECONDS = 60.0


@pytest.fixture
def tree() -> Iterator[ProcessTree]:
    """Yield a mark for processes; those that are left at the end are killed."""
    tree = ProcessTree()
    yield tree
    tree.kill()


@pytest.fixture
def environ(database: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    """Return the settings of every kind of process, with an API key for the fetch pool."""
    return {
        **os.environ,
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "STRIPE_API_KEY": "sk_test_unused",
        "PAIDUP_RECONCILE": "0",
        "STRIPE_WEBHOOK_SECRET": "whsec_unused",
        "PAIDUP_CONSOLE_TOKENS": "a-token-of-a-test",
        "PAIDUP_DATA_DIR": str(tmp_path),
        "PAIDUP_WORKER_PROCESSES": "2",
        "PAIDUP_INGEST_PROCESSES": "2",
        "PAIDUP_WORKER_METRICS_BIND": "127.0.0.1:0",
        "PAIDUP_INGEST_BIND": "127.0.0.1:0",
        "PAIDUP_CONSOLE_BIND": "127.0.0.1:0",
    }


@pytest.mark.parametrize(
    ("module", "processes"),
    # Supervisor, two pools and their children; launcher, multiprocessing's tracker, servers.
    [("workers", 6), ("ingest", 4), ("ops.console", 3)],
)
def test_no_process_outlives_a_parent_that_is_killed_at_any_moment_of_the_start(
    module: str, processes: int, tree: ProcessTree, environ: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / f"{module}.log"
    command = [sys.executable, "-m", module]
    whole = seconds_to_start(command, tree, environ, log, processes)

    for moment in range(MOMENTS):
        parent = start(command, tree, environ, log)
        time.sleep(whole * moment / MOMENTS)
        parent.kill()
        parent.wait()
        until(
            lambda: not tree.pids(),
            seconds=LEFT_AFTER_SECONDS,
            why=f"moment {moment} of {MOMENTS}: left are {tree.living()}",
        )


def start(
    command: list[str], tree: ProcessTree, environ: dict[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    with log.open("ab") as output:
        return subprocess.Popen(command, env={**environ, **tree.environ}, stderr=output)


def seconds_to_start(
    command: list[str], tree: ProcessTree, environ: dict[str, str], log: Path, processes: int
) -> float:
    """Return the seconds until all processes run, and kill the first of them."""
    begun = time.monotonic()
    parent = start(command, tree, environ, log)
    until(
        lambda: len(tree.pids()) >= processes,
        seconds=SETTLED_SECONDS,
        why=f"{processes} processes run; see {log}",
    )
    whole = time.monotonic() - begun
    parent.kill()
    parent.wait()
    until(lambda: not tree.pids(), seconds=LEFT_AFTER_SECONDS, why="nothing is left")
    return whole
