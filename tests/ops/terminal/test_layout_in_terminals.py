"""Every listing command in real terminals of several widths, and in a pipe."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence

import pytest

from tests.ops.conftest import Paidup
from tests.ops.ops_env import OpsEnv, yesterday

pytestmark = pytest.mark.servers

WIDTHS = (60, 80)
WIDE = 200
TABLES = (("events", "list"), ("dead", "list"), ("doctor",))
"""Commands that are tried in a wide terminal, too."""
BOXES = re.compile("[\u2500-\u257f]")
IDS = re.compile(r"\b(?:evt|sub|cus|in|pi|cs_test|ch)_[A-Za-z0-9]{10,}")


def in_terminal(arguments: Sequence[str], width: int) -> str:
    """Return what a command prints in a terminal of this width, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    child = subprocess.Popen(
        [sys.executable, "-m", "ops.cli", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environ, "TERM": "xterm"},
    )
    os.close(theirs)
    said = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    child.wait(60)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode()).replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the other side is closed.
        return b""


@pytest.fixture
def event(floor: OpsEnv, monkeypatch: pytest.MonkeyPatch) -> str:
    """A deployment with settled events, and one dead letter, whose id is returned."""
    events = floor.books.compose("first_paid").events
    with yesterday(monkeypatch, unreadable=True, only={events[-1].id}):
        floor.take_in(*events)
    assert floor.letters() == {events[-1].id: "open"}
    return events[-1].id


def test_no_width_breaks_an_id_and_a_pipe_gets_plain_text(event: str, paidup: Paidup) -> None:
    commands = (
        ("events", "list"),
        ("events", "show", event),
        ("dead", "list"),
        ("dead", "show", event),
        ("dead", "replay", event, "--dry-run"),
        ("explain", "usr_1"),
        ("changes",),
        ("audit", "list"),
        ("rebuild", "usr_1", "--dry-run"),
        ("status",),
        ("doctor",),
    )
    for arguments in commands:
        piped = paidup(*arguments, code=1) if arguments == ("doctor",) else paidup(*arguments)
        assert not BOXES.search(piped), arguments
        assert "\x1b" not in piped, arguments
        ids = set(IDS.findall(piped))
        for width in (*WIDTHS, WIDE) if arguments in TABLES else WIDTHS:
            shown = in_terminal(arguments, width)
            assert {each for each in ids if each not in shown} == set(), (arguments, width, shown)
            long = [line for line in shown.splitlines() if len(line) > width]
            assert [line for line in long if not _is_one_word(line)] == [], (arguments, width)


def _is_one_word(line: str) -> bool:
    """Return whether a line is a single word, or a command to copy."""
    return " " not in line.strip() or line.strip().startswith("paidup ")


def test_a_narrow_terminal_gets_one_block_a_record(event: str) -> None:
    *blocks, notes = in_terminal(("events", "list", "--limit", "3"), 60).split("\n\n")

    assert len(blocks) == 3
    assert all(block.startswith("settled") for block in blocks)
    assert notes.startswith("there are more")


def test_a_wide_terminal_gets_one_line_a_record(event: str) -> None:
    lines = in_terminal(("events", "list", "--limit", "3"), WIDE).splitlines()

    assert lines[0].split()[0] == "settled"
    assert all("evt_" in line for line in lines[1:4])
