from pathlib import Path

from tests.workers.fakes import ManualClock
from workers.liveness import Pulse
from workers.supervisor.watchdog import Watchdog


def test_a_pool_that_claims_nothing_while_events_are_due_is_stuck_after_30_s() -> None:
    clock = ManualClock()
    watchdog = Watchdog(clock, patience_seconds=30)

    answers = []
    for clock.now in (0.0, 1.0, 30.9, 31.0, 32.0):
        answers.append(watchdog.is_stuck(due=True, pulse=7.0))

    assert answers == [False, False, False, True, False]


def test_a_claim_or_an_empty_inbox_ends_the_count() -> None:
    clock = ManualClock()
    watchdog = Watchdog(clock, patience_seconds=30)
    watchdog.is_stuck(due=True, pulse=7.0)

    clock.now = 29.0
    moved = watchdog.is_stuck(due=True, pulse=8.0)
    clock.now = 50.0
    idle = watchdog.is_stuck(due=False, pulse=8.0)
    clock.now = 75.0
    again = watchdog.is_stuck(due=True, pulse=8.0)

    assert (moved, idle, again) == (False, False, False)


def test_a_pulse_file_need_not_exist_yet(tmp_path: Path) -> None:
    pulse = Pulse(tmp_path / "pulse")

    before = pulse.last()
    pulse.beat()

    assert before == 0.0
    assert pulse.last() > 0.0
