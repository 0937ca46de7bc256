"""Build the report of a run from its row and from what the database shows now."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from billing.ids import Realm
from models.tables import StripeRun
from ops.backfill.queries import customers_without_user, prices_in_no_plan
from ops.backfill.report import BackfillReport, ListCount


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
    found: dict[str, Counter[str]] = {}
    for name, count in counts.items():
        listed, _, became = name.partition(".")
        found.setdefault(listed, Counter())[became] += count
    return {listed: ListCount.read(counted) for listed, counted in found.items()}
