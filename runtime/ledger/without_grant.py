"""Count what was paid for and grants nothing, by reason, for the metrics."""

from typing import Final

from sqlalchemy import Connection, distinct, func, select, true

from billing.rows import ON_PURPOSE, NoGrant
from models.events import LACKING, Party

IN_DOUBT: Final = ("no_user", "no_subscription", "no_invoice", "cut_list", "assumed_lines")
"""Reasons of what may grant less than was paid, because events or a key are missing."""
REASONS: Final = (*[why.value for why in NoGrant if why not in ON_PURPOSE], *IN_DOUBT)


def count_without_grant(connection: Connection) -> dict[str, int]:
    """Return how many names, parties or objects each reason has; 0 where it has none."""
    named = {reason: names for reason, names in connection.execute(_NAMED)}  # noqa: C416 - rows
    in_doubt = connection.execute(_IN_DOUBT).mappings().one()
    return {reason: int(in_doubt.get(reason) or named.get(reason) or 0) for reason in REASONS}


_NOTED = func.jsonb_each_text(Party.without_grant).table_valued("key", "value")
_NAMED = (
    select(_NOTED.c.value, func.count(distinct(_NOTED.c.key)))
    .select_from(Party)
    .join(_NOTED, true())
    .where(LACKING)
    .group_by(_NOTED.c.value)
)
_IN_DOUBT = select(
    func.count().filter(Party.waiting).label("no_user"),
    func.sum(func.cardinality(Party.missing_subscriptions)).label("no_subscription"),
    func.sum(func.cardinality(Party.awaiting_invoice)).label("no_invoice"),
    func.sum(
        func.cardinality(Party.incomplete_summaries)
        + func.cardinality(Party.incomplete_items)
        + func.cardinality(Party.incomplete_lines)
    ).label("cut_list"),
    func.sum(func.cardinality(Party.without_line_items)).label("assumed_lines"),
).where(LACKING)
