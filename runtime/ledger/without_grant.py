"""Count what was paid for and grants nothing, by reason, for the metrics."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, TextClause, text

from billing.rows import ON_PURPOSE, NoGrant
from models.events import LACKING
from runtime.ledger.notes import NOTES

IN_DOUBT: Final = ("no_user", "no_subscription", "no_invoice", "cut_list", "assumed_lines")
"""Reasons of what may grant less than was paid, because events or a key are missing."""
REASONS: Final = (*[why.value for why in NoGrant if why not in ON_PURPOSE], *IN_DOUBT)


def count_without_grant(connection: Connection) -> dict[str, int]:
    """Return how many names, parties or objects each reason has; 0 where it has none."""
    named = {reason: names for reason, names in connection.execute(_NAMED)}  # noqa: C416 - rows
    in_doubt = {**_one(connection, _NOTED), **_one(connection, _LACKED)}
    return {reason: int(in_doubt.get(reason) or named.get(reason) or 0) for reason in REASONS}


def _one(connection: Connection, query: TextClause) -> Mapping[str, Any]:
    return dict(connection.execute(query).mappings().one())


_NAMED = text(
    f"SELECT value #>> '{{}}', count(DISTINCT name) FROM {NOTES}"  # noqa: S608 - our own words
    " WHERE kind = 'without_grant' GROUP BY 1"
)
_NOTED = text(
    "SELECT count(DISTINCT party) FILTER (WHERE kind = 'candidates') AS no_user,"  # noqa: S608
    " count(*) FILTER (WHERE kind = 'awaiting_invoice') AS no_invoice,"
    f" count(*) FILTER (WHERE kind = 'without_line_items') AS assumed_lines FROM {NOTES}"
)
_LACKED = text(
    "SELECT sum(cardinality(missing_subscriptions)) AS no_subscription,"  # noqa: S608 - our words
    " sum(cardinality(incomplete_summaries) + cardinality(incomplete_items)"
    f" + cardinality(incomplete_lines)) AS cut_list FROM parties WHERE {LACKING}"
)
