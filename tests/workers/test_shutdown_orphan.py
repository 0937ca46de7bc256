"""A pool whose supervisor is dead ends, even if it ignores SIGTERM."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workers.waiting import until

POOL = """
import os, pathlib, signal, sys, time
from workers.shutdown import stop_with_parent
me, obeys = pathlib.Path(sys.argv[1]), sys.argv[2] == "obeys"
signal.signal(signal.SIGTERM, lambda *_: os._exit(0) if obeys else me.with_name("deaf").touch())
stop_with_parent(os.getppid(), grace_seconds=0.1)
me.write_text(str(os.getpid()))
while True:
    time.sleep(0.01)
"""
SUPERVISOR = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", *sys.argv[1:]]).wait()
"""


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # The process that inherited it may be slow to reap it.
    return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("manner", ["obeys", "ignores"])
def test_a_pool_without_a_supervisor_ends(tmp_path: Path, manner: str) -> None:
    me = tmp_path / "pid"
    command = [sys.executable, "-c", SUPERVISOR, POOL, str(me), manner]
    supervisor = subprocess.Popen(command)
    until(lambda: me.exists() and me.read_text() != "", why="the pool began")
    pid = int(me.read_text())

    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()

    until(lambda: ended(pid), why="the pool ended")
    assert (tmp_path / "deaf").exists() == (manner == "ignores")
