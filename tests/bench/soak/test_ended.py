"""A soak test that is ended leaves neither servers nor their folder behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.soak.judgement import processes_left
from tests.workers.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_soak_that_is_ended_leaves_nothing(
    how: signal.Signals, servers_folder: Path, tmp_path: Path
) -> None:
    temporary = servers_folder / tmp_path.name
    temporary.mkdir(mode=0o755)
    with running_soak(temporary) as soak:
        until(lambda: files_named("redis.pid", temporary) == 2, why="all servers run")
        assert [*processes_left(temporary)]

        soak.send_signal(how)
        soak.wait()

        until(lambda: not [*processes_left(temporary)], why="no server runs")
        until(lambda: not [*temporary.iterdir()], why="the folder is gone")


@contextmanager
def running_soak(temporary: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a soak whose files lie in a folder, and end it."""
    soak = subprocess.Popen(
        [sys.executable, "-m", "bench.soak", "--minutes", "5"],
        env={**os.environ, "TMPDIR": str(temporary)},
        cwd=REPOSITORY,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    with soak:
        try:
            yield soak
        finally:
            soak.kill()


def files_named(name: str, folder: Path) -> int:
    """Count the files of a name; PostgreSQL moves folders meanwhile, which ``rglob`` refuses."""
    return sum(name in names for _, _, names in os.walk(folder))
