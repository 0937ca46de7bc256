"""Let one process at a time work on a plan, and another one go on once it is dead.

The lease is on the row, on the clock of PostgreSQL, so it holds behind a pooler as well. A process
that lost it notices at the next heartbeat, which is in the transaction that saves results. Two
processes that overlap do no harm: an event is requeued once and decided again for each of them.
"""

import os
import socket
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from models.tables import BulkPlan
from ops.bulk.plans import PlannedAction, read_plan
from ops.queries.replay_results import current_mark
from runtime.inbox.inbox import new_token
from runtime.time_limits import BULK_LEASE_SECONDS

LEASE: Final = timedelta(seconds=BULK_LEASE_SECONDS)


class LeaseLost(Exception):
    """Another process works on the plan, or it is in another state now."""


def new_owner() -> str:
    """Return a name for this process that no other one has."""
    return f"{socket.gethostname()}:{os.getpid()}:{new_token()}"


def claim(engine: Engine, plan: int, owner: str, *, state: str) -> PlannedAction | None:
    """Take the plan in this state, unless a living process has it."""
    stale = BulkPlan.heartbeat_at < sa.func.now() - LEASE
    free = BulkPlan.owner.is_(None) | (BulkPlan.owner == owner) | stale
    values: dict[str, Any] = {"owner": owner, "heartbeat_at": sa.func.now()}
    with engine.begin() as connection:
        if state == "running":
            values["mark"] = sa.func.coalesce(BulkPlan.mark, current_mark(connection))
        free_plan = sa.update(BulkPlan).where(BulkPlan.id == plan, BulkPlan.state == state, free)
        taken = connection.execute(free_plan.values(**values))
        return read_plan(connection, plan) if taken.rowcount else None


def beat(connection: Connection, plan: int, owner: str, *, during: str, **values: object) -> None:
    """Renew the lease and write ``values`` to the plan.

    Raises:
        LeaseLost: another process has it, or the plan was paused, cancelled or ended.
    """
    renewed = connection.execute(
        sa.update(BulkPlan)
        .where(BulkPlan.id == plan, BulkPlan.owner == owner, BulkPlan.state == during)
        .values(heartbeat_at=sa.func.now(), **values)
    )
    if not renewed.rowcount:
        raise LeaseLost


def release(engine: Engine, plan: int, owner: str) -> None:
    """Give the plan back, so that another process need not wait for the end of the lease."""
    with engine.begin() as connection:
        connection.execute(
            sa.update(BulkPlan)
            .where(BulkPlan.id == plan, BulkPlan.owner == owner)
            .values(owner=None, heartbeat_at=None)
        )
