import signal
import subprocess
import sys

import pytest

CHILD = """
import os, signal, threading
from runtime.http.stop_signal import call_on_stop
called = threading.Event()
# A handler may interrupt a print, so it writes by itself.
def say(*words):
    os.write(1, " ".join(map(str, words)).encode() + b"\\n")
call_on_stop(called.set)
# As granian does: its own handlers, set later.
for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(each, lambda number, frame: say("handled", number))
say("ready")
while not called.wait(0.01):
    pass
say("called")
"""


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_arrives_beside_the_handler_and_other_signals_do_not(stop: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline().strip()]
        for each in (signal.SIGHUP, stop):
            child.send_signal(each)
            lines.append(child.stdout.readline().strip())
        lines += child.stdout.read().split("\n")

    assert lines[:3] == ["ready", f"handled {signal.SIGHUP:d}", f"handled {stop:d}"]
    assert "called" in lines[3:]
