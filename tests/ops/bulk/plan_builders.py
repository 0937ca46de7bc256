"""Plans of a test: made, started and run against its deployment."""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from ops.bulk import control
from ops.bulk.plans import (
    DISCARD,
    REPLAY,
    By,
    PlannedAction,
    PlannedItem,
    PlanRequest,
    PreviewedChange,
    make_plan,
    read_items,
    read_plan,
)
from ops.bulk.run import Replay
from ops.bulk.run_plan import PlanRunner
from ops.bulk.stored_preview import StoredPreview
from ops.bulk.targets import Selection, Target
from ops.queries.events import EventFilter
from ops.queries.parties import OWN_REALMS
from runtime.settings import Settings
from tests.ops.ops_env import OpsEnv

ADA = By(actor="console:ada", reason="its reader was mended")
BOB = By(actor="console:bob", reason="looks right")
EVERYTHING = Selection(ids=(), wanted=EventFilter())


def request_of(
    selection: Selection | tuple[Target, ...] = EVERYTHING, action: str = REPLAY, **more: Any
) -> PlanRequest:
    return PlanRequest(
        action=action,
        actor=ADA.actor,
        reason=str(ADA.reason),
        selection=selection,
        realms=OWN_REALMS,
        **more,
    )


def planned(floor: OpsEnv, request: PlanRequest | None = None) -> PlannedAction:
    made = make_plan(floor.engine, request or request_of())
    return plan_now(floor, made.result)


def discard_planned(floor: OpsEnv) -> PlannedAction:
    return planned(floor, request_of(action=DISCARD))


def plan_now(floor: OpsEnv, plan: int) -> PlannedAction:
    with floor.engine.connect() as connection:
        return read_plan(connection, plan)


def items_now(floor: OpsEnv, plan: PlannedAction) -> list[PlannedItem]:
    with floor.engine.connect() as connection:
        return read_items(connection, plan.id, limit=10_000)


def previewed(floor: OpsEnv, plan: PlannedAction) -> list[PreviewedChange]:
    control.start_preview(floor.engine, plan.id)
    settings = Settings.from_env({})
    stored = StoredPreview(settings=settings, engine=floor.engine, inbox=None)
    return [each for some in stored.stream(plan.id) for each in some]


def started(floor: OpsEnv, plan: PlannedAction, **more: Any) -> PlannedAction:
    return control.start(floor.engine, plan.id, ADA, **{"approval_above": None, **more})


def run_plan(
    floor: OpsEnv, plan: PlannedAction, meanwhile: Callable[[float], None] | None = None
) -> Replay[PlannedItem] | None:
    runner = PlanRunner(
        settings=Settings.from_env({}),
        engine=floor.engine,
        inbox=floor.inbox,
        pause=meanwhile or floor.work,
        publish=lambda _: True,
    )
    return runner.run(plan.id)


def end_lease(floor: OpsEnv) -> None:
    """Let the time pass after which a process without a heartbeat counts as dead."""
    with floor.engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE bulk_plans SET heartbeat_at = heartbeat_at - interval '1 hour'")
        )


def states(floor: OpsEnv, plan: PlannedAction) -> Sequence[str]:
    return [item.state for item in items_now(floor, plan)]
