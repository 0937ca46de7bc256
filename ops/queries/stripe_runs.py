"""Find the runs that ask Stripe about much and have not ended."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from models.tables import StripeRun, StripeRunRange
from runtime.time_limits import STRIPE_RUN_LEASE_SECONDS

_LEASE = timedelta(seconds=STRIPE_RUN_LEASE_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """A run that has not ended; ``rate`` is in requests a second.

    ``works`` is False if no process works on it now: it was killed, or a person stopped it.
    """

    id: int
    kind: str
    realm: str
    actor: str
    started_at: datetime
    rate: float
    requests: int
    objects: int
    works: bool


def runs_under_way(connection: Connection) -> tuple[RunProgress, ...]:
    """Return the runs that have not ended, the oldest first."""
    objects = (
        sa.select(sa.func.coalesce(sa.func.sum(StripeRunRange.objects), 0))
        .where(StripeRunRange.run == StripeRun.id)
        .scalar_subquery()
    )
    works = StripeRun.owner.is_not(None) & (StripeRun.heartbeat_at > sa.func.now() - _LEASE)
    rows = connection.execute(
        sa.select(
            StripeRun.id,
            StripeRun.kind,
            StripeRun.realm,
            StripeRun.actor,
            StripeRun.started_at,
            StripeRun.rate,
            StripeRun.requests,
            sa.cast(objects, sa.BigInteger).label("objects"),
            sa.func.coalesce(works, sa.false()).label("works"),
        )
        .where(StripeRun.state == "running")
        .order_by(StripeRun.id)
    )
    return tuple(RunProgress(**row) for row in rows.mappings())
