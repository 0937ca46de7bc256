"""Events that name a user and have no effect: ignored by the settings, discarded, or failed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from billing.errors import BillingError
from billing.readers.registry import IgnoredBecause, read
from ops.queries.dead_letters import LetterFilter, letters
from runtime.event_body import parse
from runtime.ledger.deliveries import DISCARDED

NEWEST: Final = 20_000
"""So many of the settled events are looked at; older ones are found by `paidup events list`."""

_MOST: Final = 20
_REASONS: Final = (
    IgnoredBecause.WRONG_MODE.value,
    IgnoredBecause.UNKNOWN_ACCOUNT.value,
    DISCARDED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unheeded:
    """One of them; ``why`` is the reason it was ignored for, else the error it failed with."""

    event_id: str
    type: str
    why: str
    realm: str | None
    failed: bool


def unheeded(connection: Connection, user_id: str) -> tuple[Unheeded, ...]:
    """Those that were ignored first, the newest of them first; then those that failed."""
    return (*_ignored(connection, user_id), *_failed(connection, user_id))


def _ignored(connection: Connection, user_id: str) -> Iterable[Unheeded]:
    values = {"newest": NEWEST, "most": _MOST, "reasons": list(_REASONS), "user": user_id}
    for row in connection.execute(_IGNORED, values):
        if _names(row.payload, user_id):
            yield Unheeded(
                event_id=row.id, type=row.type, why=row.reason, realm=row.realm, failed=False
            )


def _failed(connection: Connection, user_id: str) -> Iterable[Unheeded]:
    for letter in letters(connection, LetterFilter(user=user_id), limit=_MOST):
        yield Unheeded(
            event_id=letter.event_id,
            type=letter.type or "unknown type",
            why=f"{letter.error_type}: {letter.error}",
            realm=None,
            failed=True,
        )


def _names(payload: str, user_id: str) -> bool:
    """Whether the event says anything of the user, had it been heeded."""
    try:
        facts: Iterable[Any] = read(parse(payload.encode())).facts
    except BillingError:
        return False
    return any(getattr(fact.fields, "user_id", None) == user_id for fact in facts)


# The settlement's index bounds the look: reasons and bodies of older events are left alone.
_IGNORED = text(
    "SELECT id, type, reason, realm, payload FROM (SELECT id, type, outcome, reason, realm,"
    " payload FROM stripe_events ORDER BY settlement DESC LIMIT :newest) AS newest"
    " WHERE outcome = 'ignored' AND reason = ANY(:reasons) AND strpos(payload, :user) > 0"
    " LIMIT :most"
)
