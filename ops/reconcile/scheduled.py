"""Run the loops of the schedule that are due, as a process that a worker's supervisor starts."""

from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Engine

from models.tables import StripeRun
from ops.errors import CommandFailed
from ops.reconcile.accounts import account_of
from ops.reconcile.course import SCHEDULE, SCHEDULED_REASON, ComparisonRequest
from ops.reconcile.run import reconcile_account
from ops.reconcile.servers import Servers
from ops.stripe_runs.runs import LEASE, RunUnderWay, cancel
from runtime.reconciling import ComparedPart, Loop, due_now
from runtime.settings import Settings
from runtime.stripe_api.budget import rate_by_default

log = structlog.get_logger(__name__)

_OTHER_SETTINGS: Final = "the settings of the schedule changed since it began"


def run_due(servers: Servers) -> int:
    """Run every loop that is due; return 0 if each ended, 1 if one is not done.

    Raises:
        Interrupted: the supervisor stops; the next one goes on.
    """
    with servers.engine.connect() as connection:
        loops = due_now(connection, servers.settings, lease=LEASE)
    return max((_run(servers, loop) for loop in loops), default=0)


def wish_of(loop: Loop, settings: Settings) -> ComparisonRequest:
    """Return what the schedule wants of a loop: objects are never repaired without a person."""
    return ComparisonRequest(
        actor=SCHEDULE,
        reason=SCHEDULED_REASON,
        parts=(loop.part,),
        applies_events=loop.part is not ComparedPart.OBJECTS
        and settings.reconcile_apply == "events",
        scheduled=True,
    )


def _run(servers: Servers, loop: Loop) -> int:
    account = account_of(servers.settings, loop.realm)
    if account is None:
        return 0
    wish = wish_of(loop, servers.settings)
    _cancel_others(servers.engine, loop, wish)
    named = {"realm": loop.realm, "part": str(loop.part)}
    try:
        run, statement = reconcile_account(
            servers,
            account,
            wish,
            rate=rate_by_default(servers.settings, livemode=account.livemode),
            report=lambda *_: None,
            tell=lambda says: log.warning("reconciliation waits", reason=says, **named),
        )
    except RunUnderWay:
        return 0
    except CommandFailed as error:
        log.warning("reconciliation is not done", reason=str(error), **named)
        return 1
    log.info("reconciliation ended", run=run, says=statement.sentence, **named)
    return 0


def _cancel_others(engine: Engine, loop: Loop, wish: ComparisonRequest) -> None:
    """Cancel scheduled runs of the loop that no process works on and that wanted something else."""
    is_free = StripeRun.owner.is_(None) | (StripeRun.heartbeat_at < sa.func.now() - LEASE)
    query = sa.select(StripeRun.id).where(
        StripeRun.kind == "reconcile",
        StripeRun.realm == loop.realm,
        StripeRun.state == "running",
        StripeRun.said["scheduled"].as_boolean(),
        StripeRun.said["parts"] == wish.said()["parts"],
        StripeRun.said != wish.said(),
        is_free,
    )
    with engine.connect() as connection:
        others: Iterable[int] = connection.scalars(query).all()
    for run in others:
        cancel(engine, run, _OTHER_SETTINGS)
