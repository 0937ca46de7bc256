"""Build the report of a run from its row and from what the database shows now."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from billing.ids import Realm
from models.tables import StripeRun
from ops.backfill.features import NAME as FEATURES
from ops.backfill.held_objects import count_held
from ops.backfill.queries import customers_without_user, prices_in_no_plan
from ops.backfill.report import BackfillReport, ListCount
from ops.stripe_runs.lists import OBJECT_LISTS

PLANNED: Final = "plan.objects"
"""The estimate among the counts of a run, from which a run that goes on knows how far it is."""


def load_report(connection: Connection, realm: Realm, run: int, *, limit: int) -> BackfillReport:
    """Return the report of a run; ``limit`` is how many customers without a user it names."""
    row = connection.execute(sa.select(StripeRun.__table__).where(StripeRun.id == run)).one()
    took = (row.ended_at or connection.scalar(sa.select(sa.func.now()))) - row.started_at
    shown, total = customers_without_user(connection, realm, limit=limit)
    result: Mapping[str, Any] = row.result or {}
    return BackfillReport(
        realm=realm,
        run=run,
        state=row.state,
        requests=row.requests,
        seconds=took.total_seconds(),
        counts=count_by_list(row.counts),
        unreadable=dict(result.get("unreadable", {})),
        without_user=shown,
        without_user_total=total,
        prices_in_no_plan=prices_in_no_plan(connection, realm),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedRun:
    """A run that was begun and never ended: how many objects it read, of about how many."""

    run: int
    started_at: datetime
    read: int
    planned: int


def opened_run(connection: Connection, realm: Realm, said: Mapping[str, Any]) -> OpenedRun | None:
    """Return the run that asked for the same and never ended; None if there is none."""
    row = connection.execute(
        sa.select(StripeRun.id, StripeRun.started_at, StripeRun.counts)
        .where(
            StripeRun.kind == "backfill",
            StripeRun.realm == realm,
            StripeRun.state == "running",
            StripeRun.said == dict(said),
        )
        .order_by(StripeRun.id)
    ).first()
    if row is None:
        return None
    read = sum(count for name, count in row.counts.items() if name != PLANNED)
    read += count_held(connection, row.id)
    planned = row.counts.get(PLANNED, 0)
    return OpenedRun(run=row.id, started_at=row.started_at, read=read, planned=planned)


def last_run(connection: Connection, realm: Realm) -> int | None:
    """Return the newest backfill of an account and mode; None if there was none."""
    newest = (
        sa.select(StripeRun.id)
        .where(StripeRun.kind == "backfill", StripeRun.realm == realm)
        .order_by(StripeRun.id.desc())
    )
    return connection.scalar(newest.limit(1))


def count_by_list(counts: Mapping[str, int]) -> dict[str, ListCount]:
    """Return the counts of a run by list; their names are ``invoices.new`` and the like."""
    names = [*(each.name for each in OBJECT_LISTS), FEATURES]
    found: dict[str, Counter[str]] = {name: Counter() for name in names}
    for name, count in counts.items():
        listed, _, became = name.partition(".")
        if name != PLANNED:
            found[listed][became] += count
    return {name: ListCount.read(counted) for name, counted in found.items() if counted}
