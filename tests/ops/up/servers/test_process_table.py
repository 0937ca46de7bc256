import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.up.servers import process_table as processes


@pytest.fixture(params=["proc", "ps"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Linux has /proc; elsewhere, as on macOS, there is only ``ps``."""
    if request.param == "ps":
        monkeypatch.setattr(processes, "_PROC", Path("/nowhere"))
    return str(request.param)


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    # Longer than a terminal is wide, as the commands of a server in a deep folder are.
    script = f"import time; print(flush=True); {'pass; ' * 20}time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        yield child
        child.kill()


@pytest.mark.usefixtures("source")
def test_a_process_is_known_by_its_command(child: "subprocess.Popen[bytes]") -> None:
    assert "time.sleep(60)" in processes.command_of(child.pid)


@pytest.mark.usefixtures("source")
def test_a_process_that_is_gone_has_no_command(child: "subprocess.Popen[bytes]") -> None:
    child.kill()
    child.wait()

    assert processes.command_of(child.pid) == ""


@pytest.mark.usefixtures("source")
def test_children_are_found_by_their_parent(child: "subprocess.Popen[bytes]") -> None:
    assert child.pid in processes.children_of(os.getpid())
    assert processes.children_of(child.pid) == []
