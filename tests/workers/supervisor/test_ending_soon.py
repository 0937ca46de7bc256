"""The job that tells of access that ends soon: by the leader, once a minute, through outages."""

from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from runtime.time_limits import ENDING_SOON_SECONDS
from tests.workers.fakes import ManualClock
from workers.supervisor import ending_soon
from workers.supervisor.ending_soon import MAX_TOLD, EndingSoon


class FakeTelling:
    """Returns one number after another, or raises it."""

    def __init__(self, *results: int | Exception) -> None:
        self.results = list(results)
        self.calls = 0

    def __call__(self, _: Any, *, limit: int) -> int:
        assert limit == MAX_TOLD
        self.calls += 1
        result = self.results.pop(0) if self.results else 0
        if isinstance(result, Exception):
            raise result
        return result


def job(telling: FakeTelling, monkeypatch: pytest.MonkeyPatch, *, leads: bool = True) -> Any:
    monkeypatch.setattr(ending_soon, "tell_ending_soon", telling)
    clock = ManualClock()
    engine: Any = None
    return EndingSoon(engine, lambda: leads, clock), clock


def test_it_tells_at_once_and_then_each_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    telling = FakeTelling(3)
    tell, clock = job(telling, monkeypatch)
    tell.tell()
    tell.tell()
    assert telling.calls == 1

    clock.now += ENDING_SOON_SECONDS
    tell.tell()

    assert telling.calls == 2


def test_a_full_batch_is_followed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    telling = FakeTelling(MAX_TOLD, 1)
    tell, _ = job(telling, monkeypatch)
    for _ in range(3):
        tell.tell()

    assert telling.calls == 2


def test_only_the_leader_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    telling = FakeTelling()
    tell, _ = job(telling, monkeypatch, leads=False)
    tell.tell()

    assert telling.calls == 0


def test_after_an_error_the_next_minute_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    away = OperationalError("SELECT", {}, Exception("connection refused"))
    telling = FakeTelling(away, 1)
    tell, clock = job(telling, monkeypatch)
    tell.tell()
    clock.now += ENDING_SOON_SECONDS
    tell.tell()

    assert telling.calls == 2
