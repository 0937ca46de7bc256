"""Begin a run that asks Stripe about much, or go on with one that was killed.

Two runs with equal ``said`` do the same. One process at a time works on a run: the lease is on its
row, on the clock of PostgreSQL, and renewed in each transaction that stores a page. A process that
lost it, or whose run was cancelled, notices there and stores nothing.
"""

import os
import socket
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, Row

from billing.ids import Realm
from models.tables import AuditLog, StripeRun
from ops.bulk.lease import new_owner
from ops.errors import CommandFailed
from runtime.ledger.catalogues import OPERATOR
from runtime.time_limits import STRIPE_RUN_LEASE_SECONDS

LEASE: Final = timedelta(seconds=STRIPE_RUN_LEASE_SECONDS)

SCHEDULE_ACTOR: Final = "paidup"
"""The actor in the audit for what the schedule does by itself."""

Kind = Literal["backfill", "reconcile"]
End = Literal["done", "failed"]


class RunUnderWay(CommandFailed):
    """Another process works on the same run."""

    def __init__(self, run: int, owner: str, beaten_at: datetime) -> None:
        self.run = run
        host, process, _ = owner.split(":")
        super().__init__(
            f"run {run} is under way: process {process} on {host} works on it"
            f" (last sign of life {beaten_at:%Y-%m-%d %H:%M:%S} UTC); `paidup runs list` shows how"
            " far it is"
        )


class RunLost(CommandFailed):
    """The run was cancelled, or another process goes on with it."""

    def __init__(self, run: int) -> None:
        self.run = run
        super().__init__(
            f"run {run} was cancelled, or another process works on it: nothing more is stored;"
            " `paidup runs list` shows its state"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """The wish of a person or of the schedule; equal ones have equal ``said``.

    ``rate`` is in requests a second.
    """

    kind: Kind
    realm: Realm
    actor: str
    reason: str | None
    said: Mapping[str, Any]
    rate: float


@dataclass(slots=True, kw_only=True)
class OpenRun:
    """A run that this process works on; ``counts`` are written at each heartbeat."""

    id: int
    owner: str
    started_at: datetime
    resumed: bool
    """True if another process began it."""
    requests: int
    counts: Counter[str] = field(default_factory=Counter)

    def beat(self, connection: Connection) -> None:
        """Renew the lease, and write counts and requests.

        Raises:
            RunLost: the run was cancelled, or another process has it.
        """
        renewed = connection.execute(
            self._mine().values(
                heartbeat_at=sa.func.now(), requests=self.requests, counts=dict(self.counts)
            )
        )
        if not renewed.rowcount:
            raise RunLost(self.id)

    def end(self, connection: Connection, state: End, reason: str | None, result: Any) -> None:
        """End the run; ``result`` is a JSON value.

        Raises:
            RunLost: the run was cancelled, or another process has it.
        """
        self.beat(connection)
        connection.execute(
            self._mine().values(
                state=state,
                state_reason=reason,
                result=result,
                ended_at=sa.func.now(),
                owner=None,
            )
        )

    def release(self, engine: Engine) -> None:
        """Give the run back unfinished, so that another process need not wait for the lease."""
        with engine.begin() as connection:
            connection.execute(self._mine().values(owner=None, requests=self.requests))

    def _mine(self) -> sa.Update:
        return sa.update(StripeRun).where(
            StripeRun.id == self.id, StripeRun.owner == self.owner, StripeRun.state == "running"
        )


def begin(engine: Engine, wanted: RunRequest) -> OpenRun:
    """Begin a run, or go on with the one that said the same and never ended.

    Raises:
        RunUnderWay: a living process works on it.
    """
    owner = new_owner()
    with engine.begin() as connection:
        _lock(connection, wanted)
        found = _unfinished(connection, wanted)
        if found is None:
            return _new(connection, wanted, owner)
        if found.is_held and not _is_dead(found.owner):
            raise RunUnderWay(found.id, found.owner, found.heartbeat_at)
        connection.execute(
            sa.update(StripeRun)
            .where(StripeRun.id == found.id)
            .values(owner=owner, heartbeat_at=sa.func.now(), rate=wanted.rate)
        )
    return OpenRun(
        id=found.id,
        owner=owner,
        started_at=found.started_at,
        resumed=True,
        requests=found.requests,
        counts=Counter(found.counts),
    )


def cancel(engine: Engine, run: int, reason: str, *, actor: str = SCHEDULE_ACTOR) -> bool:
    """Cancel a run: its process stops at its next page; False if no such run goes on.

    The audit names the person and the reason, in the same transaction.
    """
    with engine.begin() as connection:
        cancelled = connection.execute(
            sa.update(StripeRun)
            .where(StripeRun.id == run, StripeRun.state == "running")
            .values(state="cancelled", state_reason=reason, ended_at=sa.func.now(), owner=None)
        )
        if cancelled.rowcount:
            connection.execute(
                sa.insert(AuditLog).values(
                    actor=actor,
                    action="stripe_run.cancelled",
                    outcome="done",
                    origin=OPERATOR,
                    target_type="stripe_run",
                    target_id=str(run),
                    reason=reason,
                )
            )
    return bool(cancelled.rowcount)


def _lock(connection: Connection, wanted: RunRequest) -> None:
    """Let one process at a time look for a run of this kind and account, and begin one."""
    name = f"stripe run {wanted.kind} {wanted.realm}"
    number = sa.func.hashtextextended(name, 0)
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))


def _unfinished(connection: Connection, wanted: RunRequest) -> Row[Any] | None:
    is_held = StripeRun.owner.is_not(None) & (StripeRun.heartbeat_at > sa.func.now() - LEASE)
    found = connection.execute(
        sa.select(
            StripeRun.id,
            StripeRun.owner,
            StripeRun.heartbeat_at,
            StripeRun.started_at,
            StripeRun.requests,
            StripeRun.counts,
            sa.func.coalesce(is_held, sa.false()).label("is_held"),
        )
        .where(
            StripeRun.kind == wanted.kind,
            StripeRun.realm == wanted.realm,
            StripeRun.state == "running",
            StripeRun.said == dict(wanted.said),
        )
        .order_by(StripeRun.id)
    )
    return found.first()


def _new(connection: Connection, wanted: RunRequest, owner: str) -> OpenRun:
    made = connection.execute(
        sa.insert(StripeRun)
        .values(
            kind=wanted.kind,
            realm=wanted.realm,
            actor=wanted.actor,
            reason=wanted.reason,
            said=dict(wanted.said),
            rate=wanted.rate,
            owner=owner,
            heartbeat_at=sa.func.now(),
        )
        .returning(StripeRun.id, StripeRun.started_at)
    ).one()
    return OpenRun(id=made.id, owner=owner, started_at=made.started_at, resumed=False, requests=0)


def _is_dead(owner: str) -> bool:
    """Return True if the owner was a process of this machine that is gone.

    A container has a name of its own, so the owner is elsewhere then, and the lease decides.
    """
    host, process, _ = owner.split(":")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
