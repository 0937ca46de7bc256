import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.up.servers import process_table


@pytest.fixture(params=["proc", "ps"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The source of the table: /proc on Linux, ``ps`` elsewhere, as on macOS."""
    if request.param == "ps":
        monkeypatch.setattr(process_table, "_PROC", Path("/nowhere"))
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
    assert "time.sleep(60)" in process_table.command_of(child.pid)


@pytest.mark.usefixtures("source")
def test_a_process_that_is_gone_has_no_command(child: "subprocess.Popen[bytes]") -> None:
    child.kill()
    child.wait()

    assert process_table.command_of(child.pid) == ""


@pytest.mark.usefixtures("source")
def test_children_are_found_by_their_parent(child: "subprocess.Popen[bytes]") -> None:
    assert child.pid in process_table.children_of(os.getpid())
    assert process_table.children_of(child.pid) == []
