"""A pool whose supervisor is dead ends, even if it ignores SIGTERM."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.parent_watch import take_parent, with_parent
from tests.workers.waiting import until

POOL = """
import os, pathlib, signal, sys, time
from runtime.parent_watch import end_with_parent, take_parent
me, obeys = pathlib.Path(sys.argv[1]), sys.argv[2] == "obeys"
signal.signal(signal.SIGTERM, lambda *_: os._exit(0) if obeys else me.with_name("deaf").touch())
if sys.argv[3] == "late":  # its parent is killed before it asks
    me.write_text(str(os.getpid()))
    while os.getppid() == int(os.environ["PAIDUP_PARENT"]):
        time.sleep(0.01)
# Production's 85 s are for a batch; there is none here.
end_with_parent(take_parent(os.environ), grace_seconds=0.1)
me.write_text(str(os.getpid()))
while True:
    time.sleep(0.01)
"""
SUPERVISOR = """
import os, subprocess, sys
from runtime.parent_watch import with_parent
subprocess.Popen([sys.executable, "-c", *sys.argv[1:]], env=with_parent(os.environ)).wait()
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
    command = [sys.executable, "-c", SUPERVISOR, POOL, str(me), manner, "early"]
    supervisor = subprocess.Popen(command)
    until(lambda: me.exists() and me.read_text() != "", why="the pool began")
    pid = int(me.read_text())

    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()

    until(lambda: ended(pid), why="the pool ended")
    assert (tmp_path / "deaf").exists() == (manner == "ignores")


def test_a_pool_that_was_still_loading_when_its_supervisor_died_ends(tmp_path: Path) -> None:
    me = tmp_path / "pid"
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, POOL, str(me), "obeys", "late"]
    )
    until(lambda: me.exists() and me.read_text() != "", why="the pool loads")

    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()

    until(lambda: ended(int(me.read_text())), why="the pool ended")


def test_the_parent_is_not_handed_on_to_grandchildren() -> None:
    environ = {**with_parent({}), "A": "b"}

    assert (take_parent(environ), environ) == (os.getpid(), {"A": "b"})


def test_a_process_that_a_person_started_has_the_parent_of_today() -> None:
    assert take_parent({}) == os.getppid()
