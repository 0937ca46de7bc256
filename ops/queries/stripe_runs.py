"""Find the runs that ask Stripe about much: backfills and reconciliations."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from models.tables import StripeRun, StripeRunRange
from runtime.time_limits import STRIPE_RUN_LEASE_SECONDS

_LEASE = timedelta(seconds=STRIPE_RUN_LEASE_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeRunRow:
    """A run; ``rate`` is in requests a second.

    ``works`` is False if no process works on it now: it has ended, was killed, or a person stopped
    it.
    """

    id: int
    kind: str
    realm: str
    actor: str
    reason: str | None
    state: str
    state_reason: str | None
    started_at: datetime
    ended_at: datetime | None
    rate: float
    requests: int
    objects: int
    works: bool

    @property
    def state_now(self) -> str:
        """The state; ``waits`` for a run that has not ended and that no process works on."""
        return "waits" if self.state == "running" and not self.works else self.state


def runs_under_way(connection: Connection) -> tuple[StripeRunRow, ...]:
    """Return the runs that have not ended, the oldest first."""
    return _find(connection, _runs().where(StripeRun.state == "running").order_by(StripeRun.id))


def newest_runs(connection: Connection, *, limit: int) -> tuple[StripeRunRow, ...]:
    """Return the newest runs, ended ones as well, the newest first."""
    return _find(connection, _runs().order_by(StripeRun.id.desc()).limit(limit))


def _runs() -> sa.Select[*tuple[Any, ...]]:
    objects = (
        sa.select(sa.func.coalesce(sa.func.sum(StripeRunRange.objects), 0))
        .where(StripeRunRange.run == StripeRun.id)
        .scalar_subquery()
    )
    works = StripeRun.owner.is_not(None) & (StripeRun.heartbeat_at > sa.func.now() - _LEASE)
    return sa.select(
        StripeRun.id,
        StripeRun.kind,
        StripeRun.realm,
        StripeRun.actor,
        StripeRun.reason,
        StripeRun.state,
        StripeRun.state_reason,
        StripeRun.started_at,
        StripeRun.ended_at,
        StripeRun.rate,
        StripeRun.requests,
        sa.cast(objects, sa.BigInteger).label("objects"),
        sa.func.coalesce(works, sa.false()).label("works"),
    )


def _find(connection: Connection, query: sa.Select[*tuple[Any, ...]]) -> tuple[StripeRunRow, ...]:
    return tuple(StripeRunRow(**row) for row in connection.execute(query).mappings())
