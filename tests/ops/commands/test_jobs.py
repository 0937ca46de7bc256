"""``paidup jobs``, and the commands that run plans of their own."""

import json

import pytest

from ops.bulk import control
from ops.terminal.interrupt import Interrupted
from tests.ops.bulk.plan_builders import BOB, plan_now, planned, previewed, started
from tests.ops.conftest import Paidup
from tests.ops.ops_env import OpsEnv, yesterday
from workers.supervisor.job_processes import JOB_COMMAND

pytestmark = pytest.mark.servers
WHY = ("--reason", "its reader was mended", "--as", "ada")


@pytest.fixture
def letters(at_work: OpsEnv, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Dead letters of one purchase, which today's release reads; workers run meanwhile."""
    monkeypatch.setattr("ops.commands.jobs.Interruption", lambda: WorkWhilePaused(at_work))
    with yesterday(monkeypatch, unreadable=True):
        return at_work.take_in(*at_work.books.compose("onetime").events)


class WorkWhilePaused:
    def __init__(self, floor: OpsEnv) -> None:
        self.pause = floor.work


def test_a_plan_is_listed_shown_run_and_over(
    at_work: OpsEnv, paidup: Paidup, letters: list[str]
) -> None:
    plan = planned(at_work)
    previewed(at_work, plan)

    assert "previewed" in paidup("jobs", "list")
    shown = paidup("jobs", "show", "1")
    assert "usr_1" in shown
    assert plan.fingerprint in shown
    said = paidup("jobs", "run", "1", *WHY)

    assert f"{len(letters)} of {len(letters)} (" in said
    document = json.loads(paidup("jobs", "list", "--json"))
    assert [(each["state"], each["done"]) for each in document["plans"]] == [("done", len(letters))]
    assert json.loads(paidup("jobs", "list", "--open", "--json"))["plans"] == []
    assert json.loads(paidup("jobs", "show", "1", "--json"))["differences"]


def test_run_makes_the_preview_that_was_asked_for(
    at_work: OpsEnv, paidup: Paidup, letters: list[str]
) -> None:
    plan = planned(at_work)
    control.start_preview(at_work.engine, plan.id)

    paidup("jobs", "run", "1")

    assert plan_now(at_work, plan.id).state == "previewed"
    assert set(at_work.letters().values()) == {"open"}


@pytest.mark.parametrize("state", ["planned", "previewed", "waiting"])
def test_what_the_supervisor_starts_goes_on_and_never_starts_a_plan(
    at_work: OpsEnv, paidup: Paidup, letters: list[str], state: str
) -> None:
    plan = planned(at_work)
    if state == "previewed":
        previewed(at_work, plan)
    elif state == "waiting":
        started(at_work, plan, approval_above=0)

    # The preview for which it was started was stopped, or another process ended it.
    paidup(*JOB_COMMAND[JOB_COMMAND.index("jobs") :], "1", code=0 if state == "previewed" else 1)

    assert plan_now(at_work, plan.id).state == state
    assert set(at_work.letters().values()) == {"open"}


def test_pause_resume_and_cancel_say_the_state(
    at_work: OpsEnv, paidup: Paidup, letters: list[str]
) -> None:
    started(at_work, planned(at_work))

    assert "paused: its reader was mended" in paidup("jobs", "pause", "1", *WHY)
    assert "running" in paidup("jobs", "resume", "1", *WHY)
    assert "cancelled" in paidup("jobs", "cancel", "1", *WHY)
    paidup("jobs", "run", "1", *WHY, code=1)
    assert "cannot start plan 1, it is cancelled" in paidup.err
    paidup("jobs", "show", "9", code=1)
    assert "there is no plan 9" in paidup.err
    paidup("jobs", "show", "evt_1", code=1)
    assert "'evt_1' is no number of a plan" in paidup.err


@pytest.mark.parametrize(
    "command", [("dead", "replay", "--all"), ("dead", "discard", "--all"), ("replay", "--all")]
)
def test_above_the_limit_a_command_waits_for_a_second_person_or_says_that_it_goes_alone(
    at_work: OpsEnv,
    paidup: Paidup,
    letters: list[str],
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
) -> None:
    monkeypatch.setenv("PAIDUP_APPROVAL_ABOVE", "2")

    paidup(*command, *WHY, code=1)
    assert "jobs approve 1" in paidup.err
    assert set(at_work.letters().values()) == {"open"}
    paidup("jobs", "run", "1", *WHY, code=1)
    assert plan_now(at_work, 1).state == "waiting"
    paidup("jobs", "approve", "1", "--as", "ada", code=1)
    assert "running" in paidup("jobs", "approve", "1", "--as", "bob")
    control.cancel(at_work.engine, 1, BOB)
    paidup(*command, "--alone", *WHY)

    assert "open" not in at_work.letters().values()
    assert bypassed(at_work) == [("cli:ada", "2", "its reader was mended")]


def bypassed(floor: OpsEnv) -> list[tuple[str, str, str | None]]:
    return floor.audited("bulk_plan.approval_bypassed")


def test_a_command_keeps_its_plan_with_every_result(
    at_work: OpsEnv, paidup: Paidup, letters: list[str]
) -> None:
    paidup("dead", "replay", letters[0], *WHY)

    plan = plan_now(at_work, 1)
    assert (plan.state, plan.said) == ("done", {"ids": [letters[0]], "events": 1})
    assert at_work.scalars("SELECT said FROM bulk_items") == ["applied"]


def test_an_interrupted_command_cancels_its_plan_unless_a_person_paused_it(
    at_work: OpsEnv, paidup: Paidup, letters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.bulk.job.BULK_SAVE_SECONDS", 0.0)

    class PauseFirst:
        def pause(self, _seconds: float) -> None:
            control.pause(at_work.engine, 1, BOB)

    class InterruptFirst:
        def pause(self, _seconds: float) -> None:
            raise Interrupted

    monkeypatch.setattr("ops.replay.start.Interruption", PauseFirst)
    paidup("dead", "replay", "--all", *WHY, code=1)
    monkeypatch.setattr("ops.replay.start.Interruption", InterruptFirst)
    paidup("dead", "replay", "--all", *WHY, code=1)

    assert [plan_now(at_work, plan).state for plan in (1, 2)] == ["paused", "cancelled"]


def test_a_discard_that_is_interrupted_says_what_is_left_and_fails(
    at_work: OpsEnv, paidup: Paidup, letters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.bulk.run.BATCH_SIZE", 2)
    monkeypatch.setattr("ops.commands.dead.Interruption", StoppedAtOnce)

    said = paidup("dead", "discard", "--all", *WHY, code=1)

    assert said.count("discarded evt_") == 2
    assert f"{len(letters) - 2} of {len(letters)} were not discarded" in paidup.err
    assert list(at_work.letters().values()).count("discarded") == 2
    assert plan_now(at_work, 1).state == "cancelled"


class StoppedAtOnce:
    def pause(self, _seconds: float) -> None:
        raise Interrupted


def test_a_discard_waits_for_no_replay(
    at_work: OpsEnv, paidup: Paidup, letters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.bulk.run.WINDOW", 0)  # as many replays wait in the inbox as may
    monkeypatch.setattr("ops.commands.dead.Interruption", StoppedAtOnce)

    paidup("dead", "discard", "--all", *WHY)

    assert set(at_work.letters().values()) == {"discarded"}


def test_the_plan_of_a_command_that_another_person_pauses_can_be_resumed(
    at_work: OpsEnv, paidup: Paidup, letters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class PausedByBob:
        def pause(self, _seconds: float) -> None:
            if plan_now(at_work, 1).state == "running":
                control.pause(at_work.engine, 1, BOB)

    monkeypatch.setattr("ops.bulk.run.BATCH_SIZE", 1)
    monkeypatch.setattr("ops.bulk.job.BULK_SAVE_SECONDS", 0.0)
    monkeypatch.setattr("ops.replay.start.Interruption", PausedByBob)

    paidup("dead", "replay", "--all", *WHY, code=1)

    paused = plan_now(at_work, 1)
    assert (paused.state, paused.state_reason) == ("paused", BOB.reason)
    assert "running" in paidup("jobs", "resume", "1", *WHY)
