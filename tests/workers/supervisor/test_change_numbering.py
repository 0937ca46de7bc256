from dataclasses import dataclass, field

import structlog
from sqlalchemy.exc import OperationalError

from runtime.time_limits import (
    MAX_NUMBERING_REST_SECONDS,
    NUMBERING_FAILED_SECONDS,
    NUMBERING_SECONDS,
)
from tests.workers.waiting import until
from workers.supervisor.change_numbering import ChangeNumbering


@dataclass
class FakeNumbering:
    fails: list[Exception] = field(default_factory=list)
    calls: int = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.fails:
            raise self.fails.pop(0)


def refused() -> Exception:
    return OperationalError("SELECT 1", {}, ConnectionRefusedError("refused"))


def test_only_the_supervisor_that_leads_publishes() -> None:
    leads, numbering = [False], FakeNumbering()
    thread = ChangeNumbering(numbering, lambda: leads[0])
    thread.start()
    before = numbering.calls
    leads[0] = True
    until(lambda: numbering.calls > 0)
    thread.ask_to_stop()
    thread.join(5)

    assert before == 0
    assert not thread.is_alive()


def test_it_publishes_once_more_after_the_stop() -> None:
    numbering = FakeNumbering()
    thread = ChangeNumbering(numbering, lambda: True)
    thread.ask_to_stop()
    thread.run()

    assert numbering.calls == 2


def test_failures_are_logged_once_and_end_nothing() -> None:
    thread = ChangeNumbering(FakeNumbering([refused(), refused(), KeyError("a bug")]), lambda: True)

    with structlog.testing.capture_logs() as lines:
        rests = [thread._publish() for _ in range(5)]

    assert rests == [NUMBERING_FAILED_SECONDS] * 3 + [NUMBERING_SECONDS] * 2
    assert [line["event"] for line in lines] == [
        "entitlement changes are not published",
        "entitlement changes are published again",
    ]
    assert "refused" in lines[0]["why"]


def test_a_bug_is_logged_with_its_traceback() -> None:
    bug = KeyError("a bug")

    with structlog.testing.capture_logs() as lines:
        ChangeNumbering(FakeNumbering([bug]), lambda: True)._publish()

    assert [line["exc_info"] for line in lines] == [bug]


def test_a_slow_database_gets_a_longer_rest() -> None:
    times = iter([0.0, 0.3, 0.0, 60.0])
    thread = ChangeNumbering(FakeNumbering(), lambda: True, lambda: next(times))

    assert [thread._publish(), thread._publish()] == [1.2, MAX_NUMBERING_REST_SECONDS]
