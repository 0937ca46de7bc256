"""Query events that name a user but have no effect: ignored, discarded or failed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from billing.ids import Realm
from billing.readers.registry import IgnoredReason
from ops.queries.dead_letters import OPEN, find_dead_letters, named_by
from ops.queries.events import EventFilter
from ops.queries.lookups import Lookup
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


def events_without_effect(
    connection: Connection, lookup: Lookup, realms: Sequence[Realm]
) -> tuple[IneffectiveEvent, ...]:
    """Return the ignored events, newest first, then the failed ones."""
    texts = [lookup.text, *lookup.users]
    values = {"newest": NEWEST, "most": _MAX_LISTED, "reasons": list(_REASONS), "texts": texts}
    ignored = [
        IneffectiveEvent(
            event_id=row.id, type=row.type, why=row.reason, realm=row.realm, failed=False
        )
        for row in connection.execute(_IGNORED, values)
        if lookup.named_by(named_by(row.payload))
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
            connection, EventFilter(user=lookup.text), OPEN, limit=_MAX_LISTED, realms=realms
        )
    ]
    return (*ignored, *failed)


# The index on settlement says where the search ends; one on events without effect leads to them.
_IGNORED = text(
    "SELECT id, type, reason, realm, payload FROM stripe_events"
    " WHERE outcome = 'ignored' AND settlement > coalesce((SELECT settlement FROM stripe_events"
    " ORDER BY settlement DESC OFFSET :newest LIMIT 1), 0) AND reason = ANY(:reasons)"
    " AND EXISTS (SELECT FROM unnest(CAST(:texts AS text[])) AS word"
    " WHERE strpos(payload, word) > 0)"
    " ORDER BY settlement DESC LIMIT :most"
)
