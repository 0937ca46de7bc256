"""Failures that every event may meet: no event is charged before the canary was asked."""

from collections.abc import Iterator, Sequence

import psycopg
import pytest
from psycopg import errors as pg
from structlog.testing import capture_logs

from billing.errors import UnreadableEvent
from runtime.failures.classify import Failure, Infrastructure
from tests.workers.fakes import DrainScene, body_of, entry_of, stage
from workers.batches.executor import ENOUGH_ALIKE

FAULT = Infrastructure(
    error_type="UndefinedColumn (42703)", reason="a built-in event fails as well"
)


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    """Render no line: the traceback of an error that is raised again and again grows."""
    with capture_logs():
        yield


class CanaryFake:
    """Answers as a test wants, and remembers what it was asked about."""

    def __init__(self, fault: Infrastructure | None) -> None:
        self.fault = fault
        self.asked: list[list[str]] = []

    def __call__(self, failures: Sequence[Failure]) -> Infrastructure | None:
        self.asked.append([failure.error_type for failure in failures])
        return self.fault


def scene_of(canary: CanaryFake, error: Exception, *keys: str) -> DrainScene:
    """Return a scene in which each event, of a customer of its own, fails with ``error``."""
    scene = stage([entry_of(key, body=body_of(key, f"cus_{key}")) for key in keys])
    scene.ask_canary = canary
    scene.ledger.failing = dict.fromkeys(keys, error)
    return scene


@pytest.mark.parametrize(
    "error",
    [
        pg.UndefinedColumn("gone"),
        pg.SequenceGeneratorLimitExceeded("no number is left"),
        psycopg.DataError("can't parse timestamptz"),
        KeyError("a bug, as it seems"),
    ],
)
@pytest.mark.parametrize("number", [1, 2, 9])
def test_no_event_is_charged_for_what_a_built_in_event_meets_as_well(
    error: Exception, number: int
) -> None:
    keys = [f"evt_{each}" for each in range(number)]
    scene = scene_of(CanaryFake(FAULT), error, *keys)

    scene.drain()

    assert sorted(scene.parked_keys()) == keys
    assert not any(parked.charged for parked in scene.inbox.parked)
    assert scene.dead_letters.drafts == []
    assert scene.inbox.breaker == FAULT.reason


def test_after_three_alike_the_rest_of_a_batch_is_not_tried() -> None:
    keys = [f"evt_{each}" for each in range(64)]
    scene = scene_of(canary := CanaryFake(FAULT), pg.UndefinedColumn("gone"), *keys)

    scene.drain()

    tried_alone = [call for call in scene.ledger.calls if len(call) == 1]
    assert len(tried_alone) == ENOUGH_ALIKE
    assert len(canary.asked) == 1


def test_failures_are_the_events_own_where_a_built_in_event_passes() -> None:
    keys = [f"evt_{each}" for each in range(8)]
    scene = scene_of(canary := CanaryFake(None), pg.CheckViolation("negative"), *keys)
    good = entry_of("evt_good", body=body_of("evt_good", "cus_good"))
    scene.inbox.batches[0].append(good)

    scene.drain()

    assert [draft.key for draft in scene.dead_letters.drafts] == keys
    assert scene.finished_keys() == ["evt_good"]
    assert scene.inbox.breaker is None
    assert len(canary.asked) == 2, "once early and once at the end, however many events fail"


@pytest.mark.parametrize(
    "error",
    [
        UnreadableEvent("evt_0", "data.object.id"),
        pg.LockNotAvailable("held"),
        psycopg.OperationalError("refused"),
    ],
)
def test_what_needs_no_canary_asks_none(error: Exception) -> None:
    scene = scene_of(canary := CanaryFake(FAULT), error, "evt_0", "evt_1", "evt_2", "evt_3")

    scene.drain()

    assert canary.asked == []


def test_events_of_one_customer_are_no_reason_to_ask_early() -> None:
    keys = [f"evt_{each}" for each in range(8)]
    scene = stage([entry_of(key) for key in keys])
    scene.ask_canary = canary = CanaryFake(None)
    scene.ledger.failing = dict.fromkeys(keys, pg.UndefinedColumn("gone"))

    scene.drain()

    assert [len(asked) for asked in canary.asked] == [8]
