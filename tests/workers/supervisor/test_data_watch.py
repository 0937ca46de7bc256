from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisAway

from runtime.data_loss.check import Checked
from runtime.data_loss.settlements import LostInDatabase, ReadOnlyDatabase
from runtime.inbox.entries import LostAccepts
from runtime.inbox.recent import RecentSettlement
from runtime.telemetry import build_metrics
from workers.supervisor.data_watch import (
    DATABASE_WENT_BACK,
    IDS_IN_A_LINE,
    REDIS_WENT_BACK,
    DataWatch,
)

NOW = datetime(2026, 11, 28, tzinfo=UTC)
NOTHING = Checked(database_epoch="epoch")
ACCEPTS = LostAccepts(inbox_epoch="old", noticed_at=NOW, first=7, last=9)


def lost(number: int) -> LostInDatabase:
    settlements = tuple(
        RecentSettlement(event_id=f"evt_{n}", settlement=n, left_at=NOW, entry=b"")
        for n in range(number)
    )
    return LostInDatabase(settlements=settlements, complete=True, kept_until=NOW)


class WatchScene:
    """A watch whose checks end as given, and what it did."""

    def __init__(self, *outcomes: Checked | Exception, leads: bool = True) -> None:
        self.registry = CollectorRegistry()
        self.checks = self.drops = 0
        self.published: list[str] = []
        self.unregistered: list[str] = []
        self.takes_messages = True
        self._outcomes = list(outcomes)
        self.watch = DataWatch(
            self._check,
            leads=lambda: leads,
            publish=self._publish,
            unregister=self.unregistered.append,
            drop_connections=self._drop,
            metrics=build_metrics(self.registry),
        )

    def run(self, times: int = 1) -> list[Any]:
        with structlog.testing.capture_logs() as lines:
            for _ in range(times):
                self.watch.run_if_leading()
        return lines

    def _check(self) -> Checked:
        self.checks += 1
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _publish(self, token: str) -> bool:
        self.published.append(token)
        return self.takes_messages

    def _drop(self) -> None:
        self.drops += 1


def test_only_the_supervisor_that_leads_checks() -> None:
    scene = WatchScene(NOTHING, leads=False)

    assert scene.run() == []
    assert scene.checks == 0


def test_every_lost_settlement_is_named_and_counted() -> None:
    number = IDS_IN_A_LINE + 1
    scene = WatchScene(Checked(database_epoch="new", lost=lost(number), requeued=3))

    lines = scene.run()

    assert [line["event"] for line in lines] == [DATABASE_WENT_BACK] * 2
    assert {line["log_level"] for line in lines} == {"critical"}
    named = [event_id for line in lines for event_id in line["event_ids"]]
    assert named == [f"evt_{n}" for n in range(number)]
    assert scene.registry.get_sample_value("billing_settlements_lost_total") == number


def test_what_a_check_reported_that_broke_off_is_logged_and_counted_by_the_next() -> None:
    scene = WatchScene(RedisAway("refused"), Checked(database_epoch="new", lost=lost(3)))

    lines = scene.run(times=2)

    assert DATABASE_WENT_BACK in [line["event"] for line in lines]
    assert scene.registry.get_sample_value("billing_settlements_lost_total") == 3


def test_lost_accepts_are_named_by_their_numbers_and_counted() -> None:
    scene = WatchScene(Checked(database_epoch="epoch", lost_accepts=(ACCEPTS,)))

    (line,) = scene.run()

    assert (line["event"], line["log_level"]) == (REDIS_WENT_BACK, "critical")
    assert (line["first_accept"], line["last_accept"]) == (7, 9)
    assert scene.registry.get_sample_value("billing_inbox_went_back_total") == 1


@pytest.mark.parametrize("takes_messages", [True, False])
def test_workers_are_woken_for_events_that_came_back(*, takes_messages: bool) -> None:
    scene = WatchScene(Checked(database_epoch="new", wakes=("wake",)))
    scene.takes_messages = takes_messages

    scene.run()

    assert scene.published == ["wake"]
    assert scene.unregistered == ([] if takes_messages else ["wake"])


@pytest.mark.parametrize(
    ("make_error", "has_traceback"),
    [
        (lambda: RedisAway("refused"), False),
        (ReadOnlyDatabase, False),
        (lambda: RuntimeError("a bug"), True),
    ],
    ids=["away", "read-only", "bug"],
)
def test_an_error_is_logged_once_and_the_next_check_connects_again(
    make_error: Callable[[], Exception], *, has_traceback: bool
) -> None:
    scene = WatchScene(make_error(), make_error(), NOTHING, NOTHING)

    first, after = scene.run(times=4)

    assert (first["log_level"], after["log_level"]) == ("warning", "info")
    assert bool(first["exc_info"]) is has_traceback
    assert (scene.checks, scene.drops) == (4, 2)
