import os
import pty
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import pytest

from ops.cli import run
from ops.terminal import waits
from ops.terminal.standard_input import spool_standard_input

OPS = Path(__file__).parents[3] / "ops"
SILENT = re.compile(r"stdin\.(buffer|read)|stdin\.fileno|get_(binary|text)_stream|click\.File\b")
"""Ways to read standard input that wait for a person without a word."""


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Standard input is a terminal at which nobody types."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours), os.fdopen(theirs) as screen:
        monkeypatch.setattr(sys, "stdin", screen)
        monkeypatch.setenv("PAIDUP_DATA_DIR", str(tmp_path))
        monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_" + "a1" * 16)
        yield


def test_a_pipe_that_stays_open_is_waited_for_aloud(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waits, "_EVERY_SECONDS", 0.01)
    reading, writing = os.pipe()
    with os.fdopen(reading) as pipe, os.fdopen(writing, "wb") as end:
        monkeypatch.setattr(sys, "stdin", pipe)
        end.write(b"late\n")
        end.flush()
        Timer(3.0, end.close).start()
        with spool_standard_input() as spooled:
            assert spooled.read() == b"late\n"

    assert "Waiting for the end of standard input" in capsys.readouterr().err


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    "arguments",
    [["doctor", "--delivery", "-", "--signature", "t=1,v1=a"], ["send", "--file", "-"]],
)
def test_a_terminal_is_refused_at_once(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert "standard input is a terminal: pipe something" in capsys.readouterr().err


def test_no_command_reads_standard_input_in_a_way_of_its_own() -> None:
    found = [
        f"{path.relative_to(OPS)}:{number}"
        for path in sorted(OPS.rglob("*.py"))
        if path != OPS / "terminal" / "standard_input.py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if SILENT.search(line)
    ]

    assert found == []
