import errno
from threading import Event

import pytest
from structlog.testing import capture_logs

from runtime.guard import Guard, start_loop

FAILED, WORKS = "a step failed; the loop goes on", "works again"


def fail() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_row_of_errors_is_one_line_and_its_end_another() -> None:
    guard = Guard("fold")

    with capture_logs() as lines:
        went = [guard.run(step) for step in (fail, fail, dict, dict, fail)]

    assert went == [False, False, True, True, False]
    assert [line["event"] for line in lines] == [FAILED, WORKS, FAILED]
    assert (lines[0]["loop"], lines[0]["todo"]) == ("fold", "make room on the disk")


def test_an_error_without_a_known_remedy_says_what_to_do_too() -> None:
    with capture_logs() as lines:
        Guard("fold").run(lambda: {"a": 1}["x"])

    assert "report it" in lines[0]["todo"]


def test_errors_that_the_caller_handles_pass() -> None:
    guard = Guard("jobs")

    with capture_logs() as lines, pytest.raises(OSError, match="No space"):
        guard.run(fail, passing=(OSError,))

    assert lines == []


def test_a_log_that_cannot_be_written_ends_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.guard.log.error", lambda *_, **__: fail())

    assert not Guard("fold").run(fail)


def test_a_loop_goes_on_after_an_error_until_it_is_stopped() -> None:
    stopped, calls = Event(), list[int]()

    def step() -> None:
        calls.append(1)
        if len(calls) == 3:
            stopped.set()
        raise KeyError("x")

    with capture_logs() as lines:
        thread = start_loop("loop", step, pause=lambda: 0.001, stopped=stopped)
        thread.join(20)

    assert (len(calls), len(lines), thread.is_alive()) == (3, 1, False)
