"""Say what was lost when a server went back in time, and what to do."""

from typing import Final

from ops.terminal.formats import format_time
from ops.terminal.output import Json, to_json
from runtime.data_loss.reports import DatabaseLoss, Losses
from runtime.inbox.entries import LostAccepts

SHOWN: Final = 20
FETCH: Final = "run `paidup reconcile --apply --reason WHY`"
CLOSE: Final = "then run `paidup doctor --restored`"


def describe_database(loss: DatabaseLoss) -> str:
    """Return a sentence about settled events that PostgreSQL lost."""
    says = f"PostgreSQL went back in time, noticed {format_time(loss.noticed_at)}:"
    says += f" {loss.settlements} settled events were lost, {len(loss.still_missing)} are not back"
    if loss.still_missing:
        more = len(loss.still_missing) - SHOWN
        rest = f" and {more} more (`paidup status --json` lists all)" if more > 0 else ""
        says += f" ({', '.join(loss.still_missing[:SHOWN])}{rest}): send them again from Stripe"
    if not (loss.complete or loss.closed):
        since = format_time(loss.kept_until) if loss.kept_until else "the beginning"
        says += (
            f"; older ones may be lost: {FETCH}, or send all events since {since} again from"
            f" Stripe, {CLOSE}"
        )
    return says


def describe_accepts(loss: LostAccepts) -> str:
    """Return a sentence about accepted events that Redis lost."""
    numbers = f"{loss.first} to {loss.last}" if loss.first else f"up to {loss.last}"
    says = f"Redis went back in time, noticed {format_time(loss.noticed_at)}: accepts {numbers}"
    todo = f"{FETCH}, or send the events of that time again from Stripe, {CLOSE}"
    return f"{says} are lost unless they were settled: {todo}"


def losses_document(losses: Losses) -> Json:
    """Return the open reports as JSON values."""
    return {
        "not_back": list(losses.missing),
        "postgresql": [
            {
                "noticed_at": to_json(loss.noticed_at),
                "lost": loss.settlements,
                "not_back": len(loss.still_missing),
                "complete": loss.complete,
                "kept_until": to_json(loss.kept_until),
            }
            for loss in losses.database
        ],
        "redis": [
            {
                "noticed_at": to_json(loss.noticed_at),
                "first_accept": loss.first or None,
                "last_accept": loss.last,
            }
            for loss in losses.accepts
        ],
    }
