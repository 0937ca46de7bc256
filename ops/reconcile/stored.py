"""Read what Paidup has of objects that Stripe shows: the newest facts, and the rows that stand."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql

from billing.fact_codec import fact_from_json
from billing.facts import Fact
from billing.ids import ObjectKey
from models.tables import Membership, metadata
from ops.reconcile.classify import RowKey
from runtime.database.one_of import one_of
from runtime.ledger.rows import Row, TableName, from_plain

_TEXTS: Final = postgresql.ARRAY(sa.Text)


def says_the_same(facts: Collection[Fact], newest: Mapping[ObjectKey, Collection[Fact]]) -> bool:
    """Return True if each fact repeats all that is known of its object's newest second.

    Recording it would then change nothing, and nothing has to be previewed.
    """
    return all(
        (known := newest.get(fact.object_key, ()))
        and all(
            each.fields == fact.fields and each.customer_id == fact.customer_id for each in known
        )
        for fact in facts
    )


def newest_facts(connection: Connection, keys: Iterable[ObjectKey]) -> dict[ObjectKey, list[Fact]]:
    """Return the facts of the newest second of each of these objects that is known."""
    found: dict[ObjectKey, list[Fact]] = defaultdict(list)
    for (document,) in connection.execute(_NEWEST, {"keys": sorted(set(keys))}):
        fact = fact_from_json(document)
        found[fact.object_key].append(fact)
    return found


_NEWEST: Final = sa.text(
    "SELECT fact FROM (SELECT facts.fact, rank() OVER"
    " (PARTITION BY facts.object_key ORDER BY facts.created_at DESC) AS place"
    " FROM memberships JOIN facts ON facts.party = memberships.party"
    " AND facts.object_key = memberships.object_key"
    " WHERE memberships.object_key = ANY(:keys)) AS ranked WHERE place = 1"
)


def parties_of(connection: Connection, keys: Iterable[ObjectKey]) -> dict[str, str]:
    """Return the party of each of these objects that has one."""
    query = sa.select(Membership.object_key, Membership.party).where(
        one_of(Membership.object_key, keys)
    )
    return {key: party for key, party in connection.execute(query)}  # noqa: C416 - rows


def stored_rows(connection: Connection, keys: Iterable[RowKey]) -> dict[RowKey, Row]:
    """Return the rows that stand under these tables and keys."""
    by_table: dict[TableName, list[tuple[str, ...]]] = defaultdict(list)
    for table, key in keys:
        by_table[table].append(key)
    found: dict[RowKey, Row] = {}
    for table, wanted in by_table.items():
        for document in connection.scalars(_rows_of(table, wanted)):
            row = from_plain(table, document)
            found[table, row.key] = row
    return found


def _rows_of(table: TableName, keys: Collection[tuple[str, ...]]) -> sa.Select[Any]:
    stored = metadata.tables[table]
    columns = list(stored.primary_key.columns)
    values = [sa.cast(list(column), _TEXTS) for column in zip(*keys, strict=True)]
    names = [column.name for column in columns]
    wanted = sa.func.unnest(*values).table_valued(*names).render_derived(name="wanted")
    same = sa.and_(*(column == wanted.c[column.name] for column in columns))
    return sa.select(sa.func.to_jsonb(sa.literal_column(str(table)))).select_from(
        stored.join(wanted, same)
    )
