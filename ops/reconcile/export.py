"""A statement of agreement as text or JSON, for a file that outlives the run. Pure."""

from collections.abc import Iterator, Sequence

from ops.reconcile.differences import FoundDifference
from ops.reconcile.past_runs import PastRun
from ops.terminal.formats import format_time
from ops.terminal.layout import aligned_lines
from ops.terminal.money import format_money
from ops.terminal.output import Json, printable, to_json


def run_document(run: PastRun, differences: Sequence[FoundDifference]) -> dict[str, Json]:
    """Return a run with its statement and its differences as JSON values."""
    return {
        "run": run.id,
        "realm": run.realm,
        "state": run.state,
        "parts": list(run.parts),
        "actor": run.actor,
        "reason": run.reason,
        "started_at": run.started_at.isoformat(),
        "ended_at": run.ended_at.isoformat() if run.ended_at else None,
        "requests": run.requests,
        "statement": to_json(run.document),
        "differences": [to_json(each) for each in differences],
    }


def run_lines(run: PastRun, differences: Sequence[FoundDifference]) -> Iterator[str]:
    """Yield the lines of a run as text: its statement, and what differs."""
    yield printable(f"{run.realm}, run {run.id}, {run.about}: {run.says}")
    yield from aligned_lines([[name, printable(value)] for name, value in _pairs(run)])
    agreement = run.agreement
    for day in agreement.days if agreement else ():
        here, there = (format_money(each, day.currency) for each in (day.ours, day.theirs))
        yield f"differing total: {day.day} {day.status} {here} here, {there} at Stripe"
    for sentence in agreement.not_compared if agreement else ():
        yield printable(f"not compared: {sentence}")
    if differences:
        yield ""
        yield from aligned_lines([_TITLES, *map(_cells, differences)])


def _pairs(run: PastRun) -> Iterator[tuple[str, object]]:
    yield "started", f"{format_time(run.started_at)} by {run.actor}: {run.reason or 'no reason'}"
    yield "ended", format_time(run.ended_at)
    yield "requests", run.requests


_TITLES = ("difference", "state", "id", "what", "user", "customer", "says")


def _cells(each: FoundDifference) -> list[str]:
    words = (each.classed.replace("_", " "), each.state, each.name, each.family)
    return [*map(printable, (*words, each.user_id, each.stripe_customer_id, each.says))]
