"""Report what the comparisons with Stripe found, and those that are due for too long."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from ops.doctor.findings import Finding, ok, problem, warning
from ops.status.comparisons import describe_disagreement
from ops.terminal.formats import format_time
from runtime.reconciling import ComparedPart, Disagreement, late_at, read_disagreement
from runtime.settings import Settings

CHECK: Final = "comparisons"
_HARM: Final = "paid_not_granted"
_LOOK: Final = "see the log of the worker that leads, or run `paidup reconcile`"
_NEWEST_FAILED: Final = sa.text(
    "SELECT state_reason FROM (SELECT state, state_reason FROM stripe_runs"
    "  WHERE kind = 'reconcile' AND state <> 'running' AND said @> '{\"scheduled\": true}'"
    "  ORDER BY id DESC LIMIT 1) AS newest WHERE state = 'failed'"
)


def check_reconcile(connection: Connection, settings: Settings) -> Iterator[Finding]:
    """Report differences that stand, a schedule that fails or is late, and a missing net."""
    found = read_disagreement(connection)
    says = describe_disagreement(found)
    if found.standing and says:
        yield problem(CHECK, says) if found.differences[_HARM] else warning(CHECK, says)
    if not settings.reconciles:
        yield ok(CHECK, _without_schedule(settings))
        return
    now = connection.execute(sa.select(sa.func.now())).scalar_one()
    failed = connection.scalar(_NEWEST_FAILED)
    if failed is not None:
        yield warning(CHECK, f"the newest one of the schedule failed: {failed}")
    elif late := [*_late(found, now)]:
        yield warning(CHECK, f"{'; '.join(late)}: {_LOOK}")
    elif not found.standing:
        yield ok(CHECK, says or "none yet: a worker begins within minutes")


def _without_schedule(settings: Settings) -> str:
    if settings.stripe_api_key is None:
        return "none without STRIPE_API_KEY: what never arrives stays unknown"
    return "PAIDUP_RECONCILE is 0: only `paidup reconcile` compares with Stripe"


def _late(found: Disagreement, now: datetime) -> Iterator[str]:
    for part, began_at in found.runs_at.items():
        if now - began_at > late_at(ComparedPart(part)):
            what = "undelivered events" if part == ComparedPart.UNDELIVERED else part
            yield f"{what} were last compared {format_time(began_at)}"
