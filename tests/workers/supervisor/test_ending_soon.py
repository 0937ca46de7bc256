"""The job that announces access that ends soon: by the leader, once a minute, through outages."""

from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from runtime.time_limits import ENDING_SOON_SECONDS
from tests.workers.fakes import ManualClock
from workers.supervisor import ending_soon
from workers.supervisor.ending_soon import MAX_ANNOUNCED, EndingSoon


class FakeAnnouncing:
    """Returns one number after another, or raises it."""

    def __init__(self, *results: int | Exception) -> None:
        self.results = list(results)
        self.calls = 0

    def __call__(self, _: Any, *, limit: int) -> int:
        assert limit == MAX_ANNOUNCED
        self.calls += 1
        result = self.results.pop(0) if self.results else 0
        if isinstance(result, Exception):
            raise result
        return result


def job(announcing: FakeAnnouncing, monkeypatch: pytest.MonkeyPatch, *, leads: bool = True) -> Any:
    monkeypatch.setattr(ending_soon, "announce_ending_soon", announcing)
    clock = ManualClock()
    engine: Any = None
    return EndingSoon(engine, lambda: leads, clock), clock


def test_it_announces_at_once_and_then_each_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    announcing = FakeAnnouncing(3)
    announcer, clock = job(announcing, monkeypatch)
    announcer.announce()
    announcer.announce()
    assert announcing.calls == 1

    clock.now += ENDING_SOON_SECONDS
    announcer.announce()

    assert announcing.calls == 2


def test_a_full_batch_is_followed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    announcing = FakeAnnouncing(MAX_ANNOUNCED, 1)
    announcer, _ = job(announcing, monkeypatch)
    for _ in range(3):
        announcer.announce()

    assert announcing.calls == 2


def test_only_the_leader_announces(monkeypatch: pytest.MonkeyPatch) -> None:
    announcing = FakeAnnouncing()
    announcer, _ = job(announcing, monkeypatch, leads=False)
    announcer.announce()

    assert announcing.calls == 0


def test_after_an_error_the_next_minute_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    away = OperationalError("SELECT", {}, Exception("connection refused"))
    announcing = FakeAnnouncing(away, 1)
    announcer, clock = job(announcing, monkeypatch)
    announcer.announce()
    clock.now += ENDING_SOON_SECONDS
    announcer.announce()

    assert announcing.calls == 2
