import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ops.up.servers import pidfile, process
from ops.up.servers.errors import ServerDidNotStart, StillRunning
from ops.up.servers.process import Process

SLEEPER = "import time; time.sleep(60)"
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""


class Script(Process):
    """A Python one-liner that acts as a server."""

    stop_seconds = 0.3

    def __init__(self, folder: Path, script: str, *, name: str = "script") -> None:
        self.name = name
        super().__init__(folder=folder, run=folder / "run", log=folder / "log" / f"{name}.log")
        self.script = script
        self.ready = True

    def command(self) -> Sequence[str | Path]:
        return (sys.executable, "-c", self.script)

    def is_ready(self) -> bool:
        return self.ready


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Script]:
    script = Script(tmp_path, SLEEPER)
    script.start()
    yield script
    script.kill()


def deaf_one(folder: Path) -> Script:
    script = Script(folder, DEAF)
    script.start()
    while "deaf" not in script.last_words():
        time.sleep(0.01)
    return script


def test_a_running_process_is_named_by_its_pid_file(sleeper: Script) -> None:
    named = pidfile.holder(sleeper.pid_file)

    assert named == pidfile.Holder(pid=sleeper.pid, stop_signal=signal.SIGTERM, turn=2)


def test_a_process_that_ended_holds_nothing_though_its_number_is_still_written(
    sleeper: Script,
) -> None:
    sleeper.kill()

    assert sleeper.pid_file.read_text()
    assert pidfile.holder(sleeper.pid_file) is None
    assert not pidfile.stop(sleeper.pid_file, seconds=1)


def test_a_stranger_with_the_old_number_is_left_alone(tmp_path: Path, sleeper: Script) -> None:
    stale = tmp_path / "run" / "old.pid"
    stale.write_text(sleeper.pid_file.read_text())

    pidfile.stop(stale, seconds=1)

    assert sleeper.is_alive()


def test_a_left_over_of_another_is_stopped(sleeper: Script) -> None:
    assert pidfile.stop(sleeper.pid_file, seconds=5)

    assert sleeper.exit_code == -signal.SIGTERM


def test_a_left_over_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    script = deaf_one(tmp_path)

    assert pidfile.stop(script.pid_file, seconds=0.1)

    assert script.exit_code == -signal.SIGKILL


def test_a_process_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    script = deaf_one(tmp_path)

    script.stop()

    assert script.exit_code == -signal.SIGKILL


def test_a_frozen_process_can_be_stopped(sleeper: Script) -> None:
    sleeper.stop_seconds = 5
    sleeper.freeze()

    sleeper.stop()

    assert sleeper.exit_code == -signal.SIGTERM


def test_two_processes_cannot_hold_one_pid_file(sleeper: Script) -> None:
    with pytest.raises(StillRunning, match=f"process {sleeper.pid} still runs"):
        pidfile.claim(sleeper.pid_file, seconds=0.05)


def test_a_lock_whose_holder_is_not_named_is_an_error_and_no_guess(tmp_path: Path) -> None:
    path = tmp_path / "some.pid"
    lock = pidfile.claim(path)

    with pytest.raises(StillRunning, match="a process still runs"):
        pidfile.claim(path, seconds=0.05)
    assert lock


def test_all_are_stopped_in_the_order_of_their_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[str] = []

    def stop(path: Path, *, seconds: float) -> bool:
        stopped.append(path.stem)
        return original(path, seconds=seconds)

    original = pidfile.stop
    monkeypatch.setattr(pidfile, "stop", stop)
    scripts = [Script(tmp_path, SLEEPER, name=name) for name in ("last", "first")]
    for turn, script in zip((3, 0), scripts, strict=True):
        script.turn = turn
        script.start()

    assert pidfile.stop_all(tmp_path, seconds=5) == 2

    assert stopped == ["first", "last"]
    assert [script.exit_code for script in scripts] == [-signal.SIGTERM] * 2


def test_nothing_is_running_in_an_empty_folder(tmp_path: Path) -> None:
    assert pidfile.stop_all(tmp_path, seconds=1) == 0


def test_what_ends_at_once_is_quoted(tmp_path: Path) -> None:
    script = Script(tmp_path, "import sys; print('all well'); sys.exit('FATAL: no disk')")
    script.ready = False

    with pytest.raises(ServerDidNotStart, match="script did not start: FATAL: no disk"):
        script.start()


def test_what_ends_before_its_start_is_noted_is_quoted_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script(tmp_path, "import sys; sys.exit('FATAL: no disk')")
    script.ready = False
    popen = subprocess.Popen

    def slow_popen(*arguments: Any, **options: Any) -> "subprocess.Popen[bytes]":
        child: subprocess.Popen[bytes] = popen(*arguments, **options)
        child.wait()
        return child

    monkeypatch.setattr(subprocess, "Popen", slow_popen)

    with pytest.raises(ServerDidNotStart, match="script did not start: FATAL: no disk"):
        script.start()


def test_what_never_answers_is_given_up_and_stopped(tmp_path: Path) -> None:
    script = Script(tmp_path, SLEEPER)
    script.ready = False
    script.start_seconds = 0.1

    with pytest.raises(ServerDidNotStart, match="not ready within"):
        script.start()

    assert not script.is_alive()


def test_only_what_was_said_since_the_start_is_quoted(tmp_path: Path) -> None:
    script = Script(tmp_path, "pass")
    script.log.parent.mkdir()
    script.log.write_text("FATAL: of yesterday\n")
    script.ready = False

    with pytest.raises(ServerDidNotStart, match="it logged nothing"):
        script.start()


def test_a_log_that_grew_large_is_put_aside_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_MAX_LOG_BYTES", 3)
    script = Script(tmp_path, SLEEPER)
    script.log.parent.mkdir()
    script.log.write_text("long ago\n")

    script.start()

    assert (tmp_path / "log" / "script.log.1").read_text() == "long ago\n"
    assert script.log.read_text() == ""
    script.kill()


def test_what_a_pause_raises_ends_the_wait(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def pause(_: float) -> None:
        raise Enough

    script = Script(tmp_path, SLEEPER)
    script.ready = False
    script.pause = pause

    with pytest.raises(Enough):
        script.start()

    script.stop()
    assert not script.is_alive()


def test_before_it_was_started_it_has_no_pid_and_stopping_is_quiet(tmp_path: Path) -> None:
    script = Script(tmp_path, SLEEPER)

    script.stop()
    script.kill()

    assert script.exit_code is None
    assert script.last_words() == ""
    with pytest.raises(ProcessLookupError):
        _ = script.pid
