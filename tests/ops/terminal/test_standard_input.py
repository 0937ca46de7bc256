import os
import sys
from threading import Timer

import pytest

from ops.terminal import waits
from ops.terminal.standard_input import spool_standard_input


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
