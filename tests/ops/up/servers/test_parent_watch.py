import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops.up.servers import pidfile
from ops.up.servers.parent_watch import ParentWatch

PARENT = """
import sys, time
from pathlib import Path
from ops.up.servers.parent_watch import ParentWatch
from ops.up.servers.process import Process

class Sleeper(Process):
    name = "sleeper"
    def command(self):
        return (sys.executable, "-c", "import time; time.sleep(60)")

folder = Path(sys.argv[1])
watch = ParentWatch(folder, remove="remove" in sys.argv)
Sleeper(folder=folder, run=folder / "run", log=folder / "log").start()
print("started", flush=True)
time.sleep(60)
"""


def parent_on(folder: Path, *options: str) -> "subprocess.Popen[str]":
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, folder, *options], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    assert parent.stdout.readline() == "started\n"
    return parent


def kill(parent: "subprocess.Popen[str]") -> None:
    parent.send_signal(signal.SIGKILL)
    parent.communicate()


def wait_until_free(path: Path) -> None:
    deadline = time.monotonic() + 10
    while pidfile.is_held(path):
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.02)


def test_a_child_does_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    kill(parent_on(tmp_path))

    wait_until_free(tmp_path / "run" / "sleeper.pid")


def test_a_temporary_folder_goes_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()

    kill(parent_on(folder, "remove"))

    deadline = time.monotonic() + 10
    while folder.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_until_ignored(pid: int, number: signal.Signals) -> None:
    deadline = time.monotonic() + 30
    while not _ignored_by(pid) >> (number - 1) & 1:
        assert time.monotonic() < deadline, "the watch did not start"
        time.sleep(0.02)


def _ignored_by(pid: int) -> int:
    """Wait until the process ignores the signal, by the bit mask of the kernel."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("SigIgn:")[2].split()[0], 16)


def test_a_rival_on_pythons_path_does_not_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = tmp_path / "rivals" / "runtime"
    rival.mkdir(parents=True)
    (rival / "__init__.py").write_text("raise SystemExit('a rival')")
    monkeypatch.setenv("PYTHONPATH", str(rival.parent))
    watch = ParentWatch(tmp_path)

    wait_until_ignored(watch._child.pid, signal.SIGINT)

    watch.release()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_does_not_end_a_parent_watch(tmp_path: Path, number: signal.Signals) -> None:
    watch = ParentWatch(tmp_path)
    wait_until_ignored(watch._child.pid, number)

    watch._child.send_signal(number)

    time.sleep(0.1)
    assert watch._child.poll() is None
    watch.release()
    assert watch._child.poll() is not None
