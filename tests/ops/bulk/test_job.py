"""Jobs: each event is decided anew, whoever was killed or came in between."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from ops.bulk import control
from ops.bulk.job import JobBook
from ops.bulk.plans import By, PlannedAction, PlanRefused
from ops.bulk.preview import ReplayPreviewer
from ops.samples.scenario import Event
from runtime.failures.dead_letters import discard
from tests.ops.bulk.plan_builders import (
    ADA,
    discard_planned,
    end_lease,
    items_now,
    plan_now,
    planned,
    previewed,
    run_plan,
    started,
    states,
)
from tests.ops.ops_env import OpsEnv, yesterday
from tests.workers.waiting import until

pytestmark = pytest.mark.servers


def purchases(floor: OpsEnv, seeds: str) -> list[Event]:
    return [
        event
        for seed in seeds
        for event in floor.books.compose("onetime", seed=seed, user=f"usr_{seed}").events
    ]


def dead_letters(floor: OpsEnv, monkeypatch: pytest.MonkeyPatch, seeds: str) -> list[str]:
    with yesterday(monkeypatch, unreadable=True):
        return floor.take_in(*purchases(floor, seeds))


def settled_in(plan: PlannedAction) -> int:
    """Return how many events were settled; one may have come after a newer one."""
    assert plan.counts.keys() <= {"applied", "superseded"}
    return sum(plan.counts.values())


def test_a_replay_settles_every_event_and_says_who_asked(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = dead_letters(floor, monkeypatch, "ab")
    plan = planned(floor)

    started(floor, plan)
    run_plan(floor, plan)

    ended = plan_now(floor, plan.id)
    assert (ended.state, ended.owner, settled_in(ended)) == ("done", None, len(keys))
    assert set(states(floor, plan)) == {"done"}
    assert set(floor.letters().values()) == {"replayed"}
    assert {actor for actor, _, _ in floor.audited("replay.settled")} == {ADA.actor}
    assert [target for _, target, _ in floor.audited("bulk_plan.done")] == [str(plan.id)]


def test_a_discard_discards_every_event(floor: OpsEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = dead_letters(floor, monkeypatch, "a")
    plan = discard_planned(floor)

    started(floor, plan)
    run_plan(floor, plan)

    assert plan_now(floor, plan.id).counts == {"discarded": len(keys)}
    assert set(floor.letters().values()) == {"discarded"}


@pytest.mark.parametrize("action", ["replay", "discard"])
def test_what_was_resolved_meanwhile_is_skipped_and_said(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    events = purchases(floor, "a")
    with yesterday(monkeypatch, unreadable=True):
        first, second, *rest = floor.take_in(*events)
    plan = planned(floor) if action == "replay" else discard_planned(floor)
    discard(floor.engine, [first], actor="cli:bob", reason="a test")
    floor.take_in(next(event for event in events if event.id == second))

    started(floor, plan)
    run_plan(floor, plan)

    said = {item.key: (item.state, item.said or "") for item in items_now(floor, plan)}
    assert said[first][0] == said[second][0] == "skipped"
    assert "discarded by cli:bob" in said[first][1]
    assert "replayed by stripe" in said[second][1]
    assert {said[key][0] for key in rest} == {"done"}
    assert floor.letters()[first] == "discarded"
    assert floor.scalars(f"SELECT count(*) FROM stripe_events WHERE id = '{first}'") == [0]  # noqa: S608


def test_a_discard_by_another_person_while_an_event_is_decided_stands(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *rest = dead_letters(floor, monkeypatch, "a")
    plan = planned(floor)
    previewed(floor, plan)
    decide = ReplayPreviewer.decide

    def discard_meanwhile(*given: Any) -> Any:
        discard(floor.engine, [first], actor="cli:bob", reason="a test")
        return decide(*given)

    monkeypatch.setattr(ReplayPreviewer, "decide", discard_meanwhile)
    started(floor, plan)

    run_plan(floor, plan)

    assert floor.letters() == {first: "discarded", **dict.fromkeys(rest, "replayed")}
    said = {item.key: (item.state, item.said or "") for item in items_now(floor, plan)}
    assert said[first][0] == "skipped"
    assert "discarded by cli:bob" in said[first][1]


def test_what_the_same_person_discarded_for_the_same_reason_is_no_replay_of_the_plan(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = dead_letters(floor, monkeypatch, "a")
    plan = planned(floor)
    discard(floor.engine, [first], actor=ADA.actor, reason=str(ADA.reason))

    started(floor, plan)
    run_plan(floor, plan)

    (skipped,) = [item for item in items_now(floor, plan) if item.state == "skipped"]
    assert (skipped.key, plan_now(floor, plan.id).counts["resolved elsewhere"]) == (first, 1)


def test_a_question_that_comes_as_a_person_cancels_keeps_what_is_known(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, key = refunded(floor, monkeypatch)
    started(floor, plan)
    unnamed = JobBook.unnamed

    def cancel_meanwhile(book: JobBook, users: frozenset[str]) -> list[str]:
        control.cancel(floor.engine, plan.id, By(actor="cli:bob", reason="wrong events"))
        return unnamed(book, users)

    monkeypatch.setattr(JobBook, "unnamed", cancel_meanwhile)

    replay = run_plan(floor, plan)

    assert replay is not None
    assert replay.interrupted
    cancelled = plan_now(floor, plan.id)
    assert (cancelled.state, cancelled.state_reason) == ("cancelled", "wrong events")
    assert floor.letters()[key] == "open"


def test_an_event_with_another_body_than_planned_is_left_alone(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = dead_letters(floor, monkeypatch, "a")
    plan = planned(floor)
    with floor.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE dead_letters SET payload = payload || ' ' WHERE event_id = %s", (first,)
        )

    started(floor, plan)
    run_plan(floor, plan)

    (left,) = [item for item in items_now(floor, plan) if item.state == "skipped"]
    assert (left.key, left.said) == (first, "changed meanwhile: another body came under its id")
    assert floor.letters()[first] == "open"


def test_a_paused_plan_starts_nothing_until_it_is_resumed(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = dead_letters(floor, monkeypatch, "abcdef")
    monkeypatch.setattr("ops.bulk.run.BATCH_SIZE", 5)
    monkeypatch.setattr("ops.bulk.job.BULK_SAVE_SECONDS", 0.0)
    plan = planned(floor)
    started(floor, plan)

    def pause_soon(seconds: float) -> None:
        floor.work(seconds)
        if floor.requeued() == 10:
            control.pause(floor.engine, plan.id, By(actor="cli:bob", reason="too busy"))

    run_plan(floor, plan, pause_soon)

    paused = plan_now(floor, plan.id)
    assert (paused.state, paused.state_reason, paused.owner) == ("paused", "too busy", None)
    assert floor.requeued() == 10
    assert run_plan(floor, plan) is None
    control.resume(floor.engine, plan.id, ADA)
    run_plan(floor, plan)
    assert settled_in(plan_now(floor, plan.id)) == len(keys)
    assert floor.requeued() == len(keys)


def test_a_cancelled_plan_keeps_what_is_done_and_does_no_more(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = dead_letters(floor, monkeypatch, "abcdef")
    monkeypatch.setattr("ops.bulk.run.BATCH_SIZE", 5)
    monkeypatch.setattr("ops.bulk.job.BULK_SAVE_SECONDS", 0.0)
    plan = planned(floor)
    started(floor, plan)

    def cancel_soon(seconds: float) -> None:
        floor.work(seconds)
        if floor.requeued() == 10:
            control.cancel(floor.engine, plan.id, By(actor="cli:bob", reason="wrong events"))

    run_plan(floor, plan, cancel_soon)

    assert plan_now(floor, plan.id).state == "cancelled"
    assert Counter(states(floor, plan)) == {"done": 10, "waiting": len(keys) - 10}
    assert run_plan(floor, plan) is None
    with pytest.raises(PlanRefused, match="it is cancelled"):
        control.resume(floor.engine, plan.id, ADA)


def test_only_one_process_runs_a_plan_until_its_lease_ends(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead_letters(floor, monkeypatch, "a")
    plan = planned(floor)
    started(floor, plan, owner="another:1")

    assert run_plan(floor, plan) is None
    end_lease(floor)

    assert run_plan(floor, plan) is not None
    assert plan_now(floor, plan.id).state == "done"


def refunded(floor: OpsEnv, monkeypatch: pytest.MonkeyPatch) -> tuple[PlannedAction, str]:
    """Preview a plan that names nobody; afterwards its event would take a payment back."""
    events = floor.books.compose("refund_full", user="usr_refunded").events
    refund = next(event for event in events if event.type.startswith("charge.refund"))
    others = [event for event in events if event.created < refund.created]
    with yesterday(monkeypatch, unreadable=True):
        floor.take_in(refund)
    plan = planned(floor)
    previewed(floor, plan)
    with floor.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM bulk_users")
    floor.take_in(*others)
    return plan, refund.id


@pytest.mark.parametrize("answer", ["allow", "skip"])
def test_an_effect_on_a_user_whom_the_preview_did_not_name_pauses_and_asks(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    plan, key = refunded(floor, monkeypatch)
    started(floor, plan)

    run_plan(floor, plan)

    paused = plan_now(floor, plan.id)
    assert paused.state == "paused"
    assert f"{key} would take access from or move money of usr_refunded" in str(paused.state_reason)
    assert (floor.requeued(), floor.letters()[key]) == (0, "open")
    answers = (
        control.PauseAnswers(allow=("usr_refunded",))
        if answer == "allow"
        else control.PauseAnswers(skip=(key,))
    )
    control.resume(floor.engine, plan.id, ADA, answers)
    run_plan(floor, plan)
    assert plan_now(floor, plan.id).state == "done"
    expected = {"allow": ("replayed", ["done"]), "skip": ("open", ["skipped"])}
    assert (floor.letters()[key], states(floor, plan)) == expected[answer]


def test_an_effect_that_arises_after_the_last_look_is_refused_by_the_worker(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, key = refunded(floor, monkeypatch)
    monkeypatch.setattr("ops.bulk.job.ReplayJob._decided", lambda *_: {})
    monkeypatch.setattr("ops.bulk.job.BULK_SAVE_SECONDS", 0.0)
    before = floor.scalars("SELECT sum(amount_refunded_minor) FROM payments")
    started(floor, plan)

    run_plan(floor, plan)

    assert floor.letter(key).error_type == "UnnamedEffect"
    assert floor.scalars("SELECT sum(amount_refunded_minor) FROM payments") == before
    (item,) = items_now(floor, plan)
    assert (item.key, item.state) == (key, "failed")
    assert "usr_refunded" in str(item.said)
    assert "failed again" in plan_now(floor, plan.id).counts


def test_killed_at_random_points_it_settles_each_event_once_beside_live_traffic(
    floor: OpsEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = dead_letters(floor, monkeypatch, "abcdefghijklmnop")
    live = purchases(floor, "uvwxyz")
    plan = planned(floor)
    started(floor, plan, rate=10.0)
    chance = random.Random()  # noqa: S311 - points in time
    command = [sys.executable, "-m", "ops.cli", "jobs", "run", str(plan.id)]
    kills = 0

    while plan_now(floor, plan.id).state == "running":
        end_lease(floor)
        before = floor.requeued()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as job:
            wanted = before + chance.randint(1, 6)

            def reached(job: subprocess.Popen[bytes] = job, wanted: int = wanted) -> bool:
                return job.poll() is not None or floor.requeued() >= wanted

            until(reached, meanwhile=lambda: take_one(floor, live), seconds=60)
            if kills < 3 and job.poll() is None:
                kills += 1
                os.kill(job.pid, signal.SIGKILL)
            until(lambda: job.poll() is not None, meanwhile=floor.work, seconds=60)
    floor.take_in(*live)

    assert kills == 3
    assert set(states(floor, plan)) == {"done"}
    assert settled_in(plan_now(floor, plan.id)) == len(keys)
    assert set(floor.letters().values()) == {"replayed"}
    assert len(floor.audited("replay.settled")) == len(keys)
    assert len(floor.audited("dead_letter.replayed")) == len(keys)
    assert floor.scalars("SELECT count(*) FROM stripe_events") == [len(keys) + 6 * 5]


def take_one(floor: OpsEnv, live: list[Event]) -> None:
    if live:
        floor.take_in(live.pop())
    floor.work()
