"""Count what was paid for and grants nothing, by reason, for the metrics."""

from typing import Final

from sqlalchemy import Connection, text

from billing.rows import ON_PURPOSE, NoGrant

IN_DOUBT: Final = ("no_user", "no_subscription", "no_invoice", "cut_list", "assumed_lines")
"""Reasons of what may grant less than was paid, because events or a key are missing."""
REASONS: Final = (*[why.value for why in NoGrant if why not in ON_PURPOSE], *IN_DOUBT)


def count_without_grant(connection: Connection) -> dict[str, int]:
    """Return how many names, parties or objects each reason has; 0 where it has none."""
    named: dict[str, int] = dict(connection.execute(_NAMED).tuples().all())
    in_doubt = connection.execute(_IN_DOUBT).mappings().one()
    return {reason: int(in_doubt.get(reason) or named.get(reason) or 0) for reason in REASONS}


_LACKING = (
    "waiting OR without_grant <> '{}' OR missing_subscriptions <> '{}' OR awaiting_invoice <> '{}'"
    " OR incomplete_summaries <> '{}' OR incomplete_items <> '{}' OR incomplete_lines <> '{}'"
    " OR without_line_items <> '{}'"
)
"""The condition of the index ``parties_lacking_idx``, so that most parties are not looked at."""

_NAMED = text(
    "SELECT why, count(DISTINCT name) FROM parties,"  # noqa: S608 - a constant
    f" jsonb_each_text(without_grant) AS noted (name, why) WHERE ({_LACKING}) GROUP BY why"
)
_IN_DOUBT = text(
    "SELECT count(*) FILTER (WHERE waiting) AS no_user,"  # noqa: S608 - a constant
    " sum(cardinality(missing_subscriptions)) AS no_subscription,"
    " sum(cardinality(awaiting_invoice)) AS no_invoice,"
    " sum(cardinality(incomplete_summaries) + cardinality(incomplete_items)"
    " + cardinality(incomplete_lines)) AS cut_list,"
    " sum(cardinality(without_line_items)) AS assumed_lines"
    f" FROM parties WHERE {_LACKING}"
)
