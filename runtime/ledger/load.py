"""Everything the database holds of some parties, in one round trip. Their locks must be held."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from billing.archiving.archive import FactKey
from billing.archiving.dependencies import Dependencies
from billing.fact_codec import fact_from_json
from billing.facts import READER_NUMBER, Fact
from billing.ids import ObjectKey, PartyId
from billing.rows import Key
from runtime.ledger.errors import DeadLetterChanged, FactsOutdated
from runtime.ledger.rows import Row, TableName, from_plain, no_rows


@dataclass(slots=True, kw_only=True)
class Stored:
    """One party as stored; ``catalogue_version`` is None before its first projection.

    ``versions`` are those of the plans beside its grants, ``reader`` is the number of the readers
    that wrote its facts.
    """

    facts: list[Fact] = field(default_factory=list)
    rows: dict[TableName, dict[Key, Row]] = field(default_factory=no_rows)
    versions: dict[Key, int] = field(default_factory=dict)
    catalogue_version: int | None = None
    reader: int = READER_NUMBER
    archived_until: datetime | None = None
    """The newest moment of anything in its archives; None without any."""
    dependencies: Dependencies = field(default_factory=dict)
    is_whole: bool = True
    """True if everything in its archives was loaded, too."""
    opened: set[str] = field(default_factory=set)
    """The archives that were loaded with it, if it is not whole."""
    taken_out: set[FactKey] = field(default_factory=set)
    """Single facts that were loaded out of other archives."""
    live: int = 0
    """The number of its facts that are in no archive, if it was loaded without them."""
    in_steps: bool = False
    """True if what concerns all of it changes its archives later, in steps."""

    @property
    def has_more(self) -> bool:
        """True if something in an archive was not loaded."""
        return self.archived_until is not None and not self.is_whole


def load(
    connection: Connection,
    parties: Iterable[PartyId],
    *,
    read_again: Collection[PartyId] = (),
) -> dict[PartyId, Stored]:
    """Return everything that is stored of each of these parties, which may be nothing.

    Raises:
        FactsOutdated: earlier readers wrote facts of a party that is not in ``read_again``.
    """
    stored = {party: Stored() for party in parties}
    if stored:
        take_rows(stored, connection.execute(_WHOLE, {"parties": sorted(stored)}))
    refuse_outdated(stored, read_again)
    return stored


def load_without_archives(
    connection: Connection, parties: Iterable[PartyId], *, not_dead: Iterable[str] = ()
) -> dict[PartyId, Stored]:
    """Return what is stored of each of these parties, but for what is in archives.

    ``not_dead`` are keys of events that had no open or discarded dead letter before.

    Raises:
        DeadLetterChanged: one of them has one now.
    """
    stored = {party: Stored(is_whole=False) for party in parties}
    keys = sorted(not_dead)
    if stored or keys:
        take_rows(stored, connection.execute(_LIVE, {"parties": sorted(stored), "not_dead": keys}))
    for each in stored.values():
        each.live = len(each.facts)
    return stored


def refuse_outdated(stored: Mapping[PartyId, Stored], read_again: Collection[PartyId] = ()) -> None:
    """Raise ``FactsOutdated`` if earlier readers wrote facts of a party not in ``read_again``."""
    older = [party for party, each in stored.items() if each.reader < READER_NUMBER]
    if outdated := set(older).difference(read_again):
        raise FactsOutdated(outdated)


def keys_stated_by(
    connection: Connection, event_ids: Iterable[str]
) -> Mapping[str, frozenset[ObjectKey]]:
    """Return the objects that each of these settled events stated something about."""
    query = text("SELECT event_id, object_key FROM facts WHERE event_id = ANY(:ids)")
    stated: dict[str, set[ObjectKey]] = {}
    for event_id, object_key in connection.execute(query, {"ids": list(event_ids)}):
        stated.setdefault(event_id, set()).add(object_key)
    return {event_id: frozenset(keys) for event_id, keys in stated.items()}


ARCHIVED_TABLES = (TableName.PURCHASES, TableName.PAYMENTS, TableName.ENTITLEMENTS)
"""The tables of rows that go into archives with the facts that they follow from."""

_FACTS, _PARTIES, _DEAD_LETTERS = "facts", "parties", "dead_letters"
_OF_PARTY = (
    f" UNION ALL SELECT '{_PARTIES}', party,"  # noqa: S608 - our own names
    " jsonb_build_array(catalogue_version, reader, archived_until, dependencies)"
    " FROM parties WHERE party = ANY(:parties)"
)
_NOW_DEAD = (
    f" UNION ALL SELECT '{_DEAD_LETTERS}', event_id, NULL"  # noqa: S608 - our own names
    " FROM dead_letters WHERE event_id = ANY(:not_dead) AND state <> 'replayed'"
)


def _rows_sql(tables: Iterable[TableName], where: str) -> str:
    return f"SELECT '{_FACTS}', party, fact FROM facts WHERE {where}" + "".join(  # noqa: S608
        f" UNION ALL SELECT '{table}', party, to_jsonb({table})"  # noqa: S608 - our own names
        f" FROM {table} WHERE {where if table in ARCHIVED_TABLES else _ALL}"
        for table in tables
    )


_ALL = "party = ANY(:parties)"
_WHOLE = text(_rows_sql(TableName, _ALL) + _OF_PARTY)
_LIVE = text(_rows_sql(TableName, f"{_ALL} AND archive = ''") + _OF_PARTY + _NOW_DEAD)
OPENED = text(_rows_sql(ARCHIVED_TABLES, f"{_ALL} AND archive = ANY(:archives)"))
"""What is in archives of these names."""
ARCHIVED = text(_rows_sql(ARCHIVED_TABLES, f"{_ALL} AND archive <> ''"))
"""Everything in archives of these parties."""


def take_rows(stored: Mapping[PartyId, Stored], rows: Iterable[Any]) -> None:
    """Add rows of one of the statements above to the parties that they belong to.

    Raises:
        DeadLetterChanged: an event has a dead letter that had none before.
    """
    for source, name, value in rows:
        if source == _DEAD_LETTERS:
            raise DeadLetterChanged(name)
        _take(stored[name], source, value)


def _take(stored: Stored, source: str, value: Any) -> None:
    if source == _FACTS:
        stored.facts.append(fact_from_json(value))
    elif source == _PARTIES:
        stored.catalogue_version, stored.reader, until, stored.dependencies = value
        stored.archived_until = until and datetime.fromisoformat(until)
    else:
        table = TableName(source)
        row = from_plain(table, value)
        stored.rows[table][row.key] = row
        if table is TableName.ENTITLEMENTS:
            stored.versions[row.key] = value["catalogue_version"]
