"""Start, approve, pause, resume and cancel a plan; each change is audited in its transaction.

Above ``PAIDUP_APPROVAL_ABOVE`` events a plan waits until a second person approves it. People on a
command line have the names they give, so there the approval is a record. The console knows who
logged in, and makes it a barrier. ``alone`` goes on without it, with a reason, and is alerted.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import insert

from models.tables import BulkDifference, BulkItem, BulkPlan, BulkUser
from ops.bulk.plans import ENDED, By, PlannedAction, PlanRefused, audit, read_plan

Server = Engine | Connection
"""A connection is in a transaction that the caller ends."""

_STARTABLE: Final = ("planned", "previewed", "waiting")
_PREVIEWABLE: Final = ("planned", "previewed")
_APPROVABLE: Final = (*_PREVIEWABLE, "previewing", "waiting")
_PAUSABLE: Final = ("running",)
_CANCELLABLE: Final = ("planned", "previewing", "previewed", "waiting", "running", "paused")


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseAnswers:
    """Answers of a person about the events for which a plan paused."""

    allow: tuple[str, ...] = ()
    """Users from whom it may take access, or whose money it may move."""
    skip: tuple[str, ...] = ()
    """Events that it leaves as they are."""


def needs_approval(plan: PlannedAction, approval_above: int | None) -> bool:
    """Return True if a second person has to approve the plan before it may start."""
    above = approval_above is not None and plan.items > approval_above
    return above and plan.approved_by is None and plan.bypassed_by is None


def start(
    on: Server,
    plan: int,
    by: By,
    *,
    approval_above: int | None,
    rate: float | None = None,
    alone: bool = False,
    owner: str | None = None,
) -> PlannedAction:
    """Let a plan run, or wait for the approval that it needs; return it as it is then.

    With ``alone`` it needs none, and the reason of ``by`` is audited. ``owner`` is the process that
    runs it; without one the supervisor starts one.
    """
    with _transaction(on) as connection:
        found = _locked(connection, plan, _STARTABLE, "start")
        now = sa.func.now()
        values: dict[str, Any] = {"state": "running", "rate": rate, "started_at": now}
        values |= {"owner": owner, "heartbeat_at": now if owner else None}
        if needs_approval(found, approval_above):
            if alone:
                values["bypassed_by"] = by.actor
                audit(connection, plan, "approval_bypassed", by, {"items": found.items})
            else:
                values = {"state": "waiting", "rate": rate}
        _change(connection, plan, values)
        audit(connection, plan, "started" if values["state"] == "running" else "submitted", by)
        return read_plan(connection, plan)


def approve(on: Server, plan: int, by: By) -> PlannedAction:
    """Approve a plan as a second person; it runs if it waited for that.

    Raises:
        PlanRefused: the person made the plan, or it cannot be approved any more.
    """
    with _transaction(on) as connection:
        found = _locked(connection, plan, _APPROVABLE, "approve")
        if person_of(found.actor) == person_of(by.actor):
            raise PlanRefused(f"{by.actor} made plan {plan}: another person has to approve it")
        values: dict[str, Any] = {"approved_by": by.actor, "approved_at": sa.func.now()}
        if found.state == "waiting":
            values |= {"state": "running", "started_at": sa.func.now()}
        _change(connection, plan, values)
        audit(connection, plan, "approved", by, {"fingerprint": found.fingerprint})
        return read_plan(connection, plan)


def person_of(actor: str) -> str:
    """Return the name of an actor, however he came: ``cli:ada`` and ``console:ada`` are one."""
    return actor.partition(":")[2].casefold() or actor.casefold()


def start_preview(on: Server, plan: int) -> PlannedAction:
    """Ask for a preview, which replaces an earlier one; ``paidup jobs run`` makes it."""
    with _transaction(on) as connection:
        _locked(connection, plan, _PREVIEWABLE, "preview")
        forget_preview(connection, plan)
        values = {"state": "previewing", "previewed": 0, "previewed_at": None}
        _change(connection, plan, values | {"preview_counts": {}, "owner": None})
        return read_plan(connection, plan)


def stop_preview(on: Server, plan: int) -> PlannedAction:
    """End a preview under way, and forget what it showed."""
    with _transaction(on) as connection:
        _locked(connection, plan, ("previewing",), "stop the preview of")
        forget_preview(connection, plan)
        _change(connection, plan, {"state": "planned", "previewed": 0, "owner": None})
        return read_plan(connection, plan)


def pause(on: Server, plan: int, by: By) -> PlannedAction:
    """Pause a running plan: its process ends at its next step and starts no further event."""
    with _transaction(on) as connection:
        _locked(connection, plan, _PAUSABLE, "pause")
        _change(connection, plan, {"state": "paused", "state_reason": by.reason})
        audit(connection, plan, "paused", by)
        return read_plan(connection, plan)


def resume(on: Server, plan: int, by: By, answers: PauseAnswers | None = None) -> PlannedAction:
    """Let a paused plan go on, with what a person says about the events it paused for."""
    with _transaction(on) as connection:
        _locked(connection, plan, ("paused",), "resume")
        said: Mapping[str, Sequence[str]] = {}
        if answers:
            allow_users(connection, plan, answers.allow, named_by=by.actor)
            _skip(connection, plan, answers.skip, by)
            said = {"allowed": answers.allow, "skipped": answers.skip}
        _change(connection, plan, {"state": "running", "state_reason": None})
        audit(connection, plan, "resumed", by, {name: [*each] for name, each in said.items()})
        return read_plan(connection, plan)


def cancel(on: Server, plan: int, by: By) -> PlannedAction:
    """Cancel a plan for good: what is done stays, and no further event is started."""
    with _transaction(on) as connection:
        found = _locked(connection, plan, _CANCELLABLE, "cancel")
        ended = {"ended_at": sa.func.now(), "state_reason": by.reason}
        _change(connection, plan, {"state": "cancelled"} | ended)
        audit(connection, plan, "cancelled", by, {"counts": dict(found.counts)})
        return read_plan(connection, plan)


def allow_users(connection: Connection, plan: int, users: Iterable[str], *, named_by: str) -> None:
    """Name users from whom the plan may take access, or whose money it may move."""
    rows = [{"plan": plan, "user_id": user, "named_by": named_by} for user in sorted(set(users))]
    if rows:
        connection.execute(insert(BulkUser).on_conflict_do_nothing(), rows)


def _skip(connection: Connection, plan: int, keys: Sequence[str], by: By) -> None:
    if not keys:
        return
    items = sa.update(BulkItem).where(
        BulkItem.plan == plan, BulkItem.key.in_(keys), BulkItem.state == "waiting"
    )
    skipped = connection.execute(items.values(state="skipped", said=f"left out by {by.actor}"))
    if skipped.rowcount != len(set(keys)):
        raise PlanRefused(
            f"plan {plan} has no waiting event of one of these ids: {', '.join(keys)}"
        )


@contextmanager
def _transaction(on: Server) -> Iterator[Connection]:
    if isinstance(on, Connection):
        yield on
    else:
        with on.begin() as connection:
            yield connection


def _locked(connection: Connection, plan: int, states: Sequence[str], verb: str) -> PlannedAction:
    connection.execute(sa.select(BulkPlan.id).where(BulkPlan.id == plan).with_for_update())
    found = read_plan(connection, plan)
    if found.state in states:
        return found
    hint = ": make a new one" if found.state in ENDED else ""
    raise PlanRefused(f"cannot {verb} plan {plan}, it is {found.state}{hint}; nothing was changed")


def _change(connection: Connection, plan: int, values: Mapping[str, Any]) -> None:
    connection.execute(sa.update(BulkPlan).where(BulkPlan.id == plan).values(**values))


def forget_preview(connection: Connection, plan: int) -> None:
    """Delete what a preview showed, so that it never counts as whole."""
    connection.execute(sa.delete(BulkDifference).where(BulkDifference.plan == plan))
    connection.execute(sa.delete(BulkUser).where(BulkUser.plan == plan))
