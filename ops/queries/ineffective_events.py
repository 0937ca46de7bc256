"""Query events that name a user but have no effect: ignored, discarded or failed."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from billing.readers.registry import IgnoredReason
from ops.queries.dead_letters import OPEN, facts_of, find_dead_letters, names_user
from ops.queries.events import EventFilter
from runtime.ledger.deliveries import DISCARDED

NEWEST: Final = 20_000
"""The number of settled events searched; `paidup events list` finds older ones."""

_MAX_LISTED: Final = 20
_REASONS: Final = (
    IgnoredReason.WRONG_MODE.value,
    IgnoredReason.UNKNOWN_ACCOUNT.value,
    IgnoredReason.UNKNOWN_CONTEXT.value,
    DISCARDED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IneffectiveEvent:
    """One such event; ``why`` is the reason it was ignored, or the error it failed with."""

    event_id: str
    type: str
    why: str
    realm: str | None
    failed: bool


def events_without_effect(connection: Connection, user_id: str) -> tuple[IneffectiveEvent, ...]:
    """Return the ignored events, newest first, then the failed ones."""
    values = {"newest": NEWEST, "most": _MAX_LISTED, "reasons": list(_REASONS), "user": user_id}
    ignored = [
        IneffectiveEvent(
            event_id=row.id, type=row.type, why=row.reason, realm=row.realm, failed=False
        )
        for row in connection.execute(_IGNORED, values)
        if names_user(facts_of(row.payload), user_id)
    ]
    failed = [
        IneffectiveEvent(
            event_id=letter.event_id,
            type=letter.type or "unknown type",
            why=f"{letter.error_type}: {letter.error}",
            realm=None,
            failed=True,
        )
        for letter in find_dead_letters(
            connection, EventFilter(user=user_id), OPEN, limit=_MAX_LISTED
        )
    ]
    return (*ignored, *failed)


# The index on settlement bounds the search: older events are never read.
_IGNORED = text(
    "SELECT id, type, reason, realm, payload FROM (SELECT id, type, outcome, reason, realm,"
    " payload FROM stripe_events ORDER BY settlement DESC LIMIT :newest) AS newest"
    " WHERE outcome = 'ignored' AND reason = ANY(:reasons) AND strpos(payload, :user) > 0"
    " LIMIT :most"
)
