import sys
from pathlib import Path

import structlog

from tests.workers.waiting import until
from workers.supervisor.schedule import SCHEDULE, Schedule, Timed


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_command_starts_at_once_and_again_when_its_time_has_come(tmp_path: Path) -> None:
    clock, told = Clock(), tmp_path / "told"
    append = f"import sys; open({str(told)!r}, 'a').write(sys.argv[1])"
    schedule = Schedule(
        clock, timed=[Timed(command=("x",), every_seconds=60)], start_command=python(append)
    )

    schedule.start_due()
    until(lambda: told.exists() and told.read_text() == "x")
    clock.now = 59.0
    schedule.start_due()
    clock.now = 60.0
    until(lambda: told.read_text() == "xx", meanwhile=schedule.start_due)

    schedule.stop(grace_seconds=10)
    assert told.read_text() == "xx"


def test_a_run_that_still_goes_is_not_joined_by_a_second_and_a_stop_ends_it() -> None:
    clock = Clock()
    schedule = Schedule(
        clock,
        timed=[Timed(command=(), every_seconds=1)],
        start_command=python("import time; time.sleep(60)"),
    )

    schedule.start_due()
    first = dict(schedule._running)
    clock.now = 10.0
    schedule.start_due()
    second = dict(schedule._running)
    schedule.stop(grace_seconds=10)

    assert first == second
    assert [process.returncode for process in first.values()] == [-15]


def test_a_command_that_will_not_end_is_killed(tmp_path: Path) -> None:
    deaf, ready = Clock(), tmp_path / "ready"
    code = (
        "import signal, time, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    )
    schedule = Schedule(
        deaf, timed=[Timed(command=(), every_seconds=1)], start_command=python(code)
    )
    schedule.start_due()
    until(ready.exists)
    (process,) = schedule._running.values()

    schedule.stop(grace_seconds=0.1)

    assert process.returncode == -9


def test_a_command_that_fails_is_told() -> None:
    schedule = Schedule(
        Clock(),
        timed=[Timed(command=("expire",), every_seconds=60)],
        start_command=python("raise SystemExit(3)"),
    )
    schedule.start_due()

    with structlog.testing.capture_logs() as lines:
        until(lambda: bool(lines), meanwhile=schedule.start_due)

    assert (lines[0]["command"], lines[0]["code"]) == ("expire", 3)


def test_access_that_ends_by_time_is_cleared_within_a_minute() -> None:
    assert [timed.every_seconds <= 30 for timed in SCHEDULE if timed.command == ("expire",)] == [
        True
    ]
