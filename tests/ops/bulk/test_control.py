"""Approval by a second person, and what is refused in which state."""

import pytest

from ops.bulk import control
from ops.bulk.plans import By, PlannedAction, PlanRefused
from tests.ops.bulk.plan_builders import ADA, BOB, plan_now, planned, started
from tests.ops.ops_env import OpsEnv

pytestmark = pytest.mark.servers


@pytest.fixture
def plan(floor: OpsEnv) -> PlannedAction:
    """A plan for the events of one purchase."""
    floor.take_in(*floor.books.compose("onetime").events)
    return planned(floor)


def test_a_plan_at_the_limit_or_without_one_needs_nobody_else(
    floor: OpsEnv, plan: PlannedAction
) -> None:
    assert not control.needs_approval(plan, None)
    assert not control.needs_approval(plan, plan.items)
    assert control.needs_approval(plan, plan.items - 1)

    assert started(floor, plan, approval_above=plan.items).state == "running"


def test_above_the_limit_it_waits_for_another_person_who_lets_it_run(
    floor: OpsEnv, plan: PlannedAction
) -> None:
    assert started(floor, plan, approval_above=1).state == "waiting"
    for herself in (ADA, By(actor="cli:ada"), By(actor="console:Ada")):
        with pytest.raises(PlanRefused, match="another person has to approve"):
            control.approve(floor.engine, plan.id, herself)
    assert plan_now(floor, plan.id).state == "waiting"

    approved = control.approve(floor.engine, plan.id, BOB)

    assert (approved.state, approved.approved_by) == ("running", BOB.actor)
    assert floor.audited("bulk_plan.submitted") == [(ADA.actor, str(plan.id), ADA.reason)]
    assert floor.audited("bulk_plan.approved") == [(BOB.actor, str(plan.id), BOB.reason)]


def test_approved_beforehand_it_starts_at_once(floor: OpsEnv, plan: PlannedAction) -> None:
    assert control.approve(floor.engine, plan.id, BOB).state == "planned"

    assert started(floor, plan, approval_above=1).state == "running"


def test_alone_it_starts_and_that_is_audited_with_its_reason(
    floor: OpsEnv, plan: PlannedAction
) -> None:
    assert started(floor, plan, approval_above=1).state == "waiting"

    alone = started(floor, plan, approval_above=1, alone=True)

    assert (alone.state, alone.bypassed_by) == ("running", ADA.actor)
    assert floor.audited("bulk_plan.approval_bypassed") == [(ADA.actor, str(plan.id), ADA.reason)]


def test_alone_without_need_bypasses_nothing(floor: OpsEnv, plan: PlannedAction) -> None:
    assert started(floor, plan, approval_above=None, alone=True).bypassed_by is None
    assert floor.audited("bulk_plan.approval_bypassed") == []


def test_what_the_state_does_not_allow_is_refused_and_changes_nothing(
    floor: OpsEnv, plan: PlannedAction
) -> None:
    with pytest.raises(PlanRefused, match="cannot pause plan 1, it is planned"):
        control.pause(floor.engine, plan.id, ADA)
    with pytest.raises(PlanRefused, match="cannot resume plan 1, it is planned"):
        control.resume(floor.engine, plan.id, ADA)
    started(floor, plan)
    with pytest.raises(PlanRefused, match="cannot start plan 1, it is running"):
        started(floor, plan)
    with pytest.raises(PlanRefused, match="cannot preview plan 1, it is running"):
        control.start_preview(floor.engine, plan.id)
    control.cancel(floor.engine, plan.id, BOB)
    with pytest.raises(PlanRefused, match="it is cancelled: make a new one"):
        started(floor, plan)
    with pytest.raises(PlanRefused, match="there is no plan 7"):
        control.approve(floor.engine, 7, BOB)

    assert [actor for actor, _, _ in floor.audited("bulk_plan.cancelled")] == [BOB.actor]
    assert floor.audited("bulk_plan.paused") == []


def test_to_skip_an_event_that_the_plan_does_not_wait_for_is_refused(
    floor: OpsEnv, plan: PlannedAction
) -> None:
    started(floor, plan)
    control.pause(floor.engine, plan.id, ADA)

    with pytest.raises(PlanRefused, match="evt_other"):
        control.resume(floor.engine, plan.id, ADA, control.PauseAnswers(skip=("evt_other",)))

    assert plan_now(floor, plan.id).state == "paused"
