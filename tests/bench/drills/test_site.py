"""Drills break only a test stack that one `paidup up` runs whole."""

from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from bench.drills.site import PARTS, breakable_stack, lifecycle, repeatedly
from ops.errors import CommandFailed
from ops.up import up_file
from ops.up.up_file import UpFile

RUNNING = UpFile(
    pid=1,
    webhook_url="http://127.0.0.1:8000/webhooks/stripe",
    ingest_url="http://127.0.0.1:8000",
    worker_metrics_url="http://127.0.0.1:9101",
    console_url="http://127.0.0.1:8001",
    database_url="postgresql://paidup_app@127.0.0.1/paidup",
    owner_database_url="postgresql://paidup@127.0.0.1/paidup",
    reader_database_url=None,
    redis_url="redis://127.0.0.1/0",
    webhook_secret="whsec_1",
    made_secret=True,
    fetches=False,
    console_token=None,
    settings={"PAIDUP_LIVEMODE": "any"},
    pids=dict.fromkeys(PARTS, 1),
)


def running(up: UpFile | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up_file, "read", lambda _: up)


def test_a_stack_of_its_own_servers_may_be_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    running(RUNNING, monkeypatch)

    assert breakable_stack(Path(".paidup")) is RUNNING


def test_without_a_stack_the_error_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    running(None, monkeypatch)

    with pytest.raises(CommandFailed, match="start one with `make up`"):
        breakable_stack(Path(".paidup"))


def test_a_stack_that_takes_live_events_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    running(replace(RUNNING, settings={"PAIDUP_LIVEMODE": "live"}), monkeypatch)

    with pytest.raises(CommandFailed, match="live events"):
        breakable_stack(Path(".paidup"))


@pytest.mark.parametrize("part", ["redis", "postgres"])
def test_a_server_that_the_operator_named_is_never_broken(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = {name: 1 for name in PARTS if name != part}
    running(replace(RUNNING, pids=started), monkeypatch)

    with pytest.raises(CommandFailed, match=f"{part} is not run by this `paidup up`"):
        breakable_stack(Path(".paidup"))


def test_each_lifecycle_has_events_that_no_one_has_sent() -> None:
    first, second = lifecycle("first_paid"), lifecycle("first_paid")

    assert not {event.id for event in first.events} & {event.id for event in second.events}


def test_a_step_runs_at_once_and_again_until_the_block_ends() -> None:
    given: list[Event] = []
    again = Event()

    def step(stopped: Event) -> None:
        given.append(stopped)
        if len(given) > 1:
            again.set()

    with repeatedly(step):
        assert given, "the cause is there as soon as the block begins"
        assert again.wait(60)
        assert not given[0].is_set()

    assert given[0].is_set(), "a step that waits ends with the block"
