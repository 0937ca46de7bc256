"""Write archives: take out what was loaded of them, and put away what is old.

Facts and rows stay in their tables. Only the name of their archive changes, so who reads rows or
facts by their own keys need not know of archives. Notes stand in the party's row, which is written
with every event, so archived ones have a table of their own (``notes``).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Connection, text

from billing.archiving.archive import Archived
from billing.ids import PartyId
from billing.rows import Key
from models.tables import ArchiveKey, ArchiveNote
from runtime.ledger.batch_state import ARCHIVE_ABOVE, BatchState, PartyState
from runtime.ledger.bulk import insert_rows
from runtime.ledger.load import ARCHIVED_TABLES
from runtime.ledger.rows import TableName

_TABLES: Final = ("facts", "memberships", *ARCHIVED_TABLES)


def archive_parties(batch: BatchState) -> dict[PartyId, Archived]:
    """Return what of the parties of a batch may go into archives now."""
    found = {party: batch.archive_old(each) for party, each in batch.parties.items()}
    return {party: archived for party, archived in found.items() if archived}


def take_out(connection: Connection, batch: BatchState) -> None:
    """Take everything out of its archives that was loaded of them."""
    whole, opened, facts = [], [], []
    for party, each in batch.parties.items():
        if each.archives.is_whole:
            # A party whose row was lost may have archives that nothing tells of.
            whole += [party] if each.archives.until or each.size > ARCHIVE_ABOVE else []
        else:
            opened += [(party, name) for name in sorted(each.archives.opened)]
            facts += sorted(each.archives.taken_out)
    if whole:
        connection.execute(_TAKE_OUT_ALL, {"parties": whole})
    if opened:
        parties, names = zip(*opened, strict=True)
        connection.execute(_TAKE_OUT, {"parties": list(parties), "archives": list(names)})
    if facts:
        events, keys = zip(*facts, strict=True)
        connection.execute(_TAKE_OUT_FACTS, {"events": list(events), "keys": list(keys)})


def put_away(connection: Connection, archived: Mapping[PartyId, Archived]) -> None:
    """Put facts and rows into their archives."""
    for each in archived.values():
        connection.execute(_PUT_AWAY, _sent(each))
    keys = [
        {"key": key, "party": party, "archive": one.name}
        for party, each in sorted(archived.items())
        for one in each.archives
        for key in one.special_keys
    ]
    insert_rows(connection, ArchiveKey, keys, conflict="ignore")
    notes = [
        {"party": party, **note._asdict()}
        for party, each in sorted(archived.items())
        for note in each.leaving.notes
    ]
    insert_rows(connection, ArchiveNote, notes)


def archives_columns(party_state: PartyState, archived: Archived | None) -> dict[str, Any]:
    """Return the columns of a party's row that tell of its archives."""
    if archived:
        return {"archived_until": archived.until, "dependencies": archived.dependencies}
    if party_state.archives.has_more:
        known = party_state.archives
        return {"archived_until": known.until, "dependencies": known.dependencies}
    return {"archived_until": None, "dependencies": {}}


def _sent(archived: Archived) -> dict[str, list[str]]:
    facts = [(*fact, each.name) for each in archived.archives for fact in each.facts]
    objects = [(key, each.name) for each in archived.archives for key in each.keys]
    return (
        _columns("fact", facts, ("event_id", "object_key", "archive"))
        | _columns("object", objects, ("object_key", "archive"))
        | _of_rows(TableName.PURCHASES, archived.leaving.purchases)
        | _of_rows(TableName.PAYMENTS, archived.leaving.payments)
        | _of_rows(TableName.ENTITLEMENTS, archived.leaving.entitlements)
    )


def _of_rows(table: TableName, rows: Mapping[Key, str]) -> dict[str, list[str]]:
    keyed = [(*key, archive) for key, archive in rows.items()]
    return _columns(table, keyed, (*_KEYS[table], "archive"))


def _columns(
    prefix: str, rows: Iterable[tuple[str, ...]], names: tuple[str, ...]
) -> dict[str, list[str]]:
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return {f"{prefix}_{name}": list(column) for name, column in zip(names, columns, strict=True)}


_KEYS: Final[Mapping[TableName, tuple[str, ...]]] = {
    TableName.PURCHASES: ("realm", "purchase_ref", "line"),
    TableName.PAYMENTS: ("realm", "payment_ref"),
    TableName.ENTITLEMENTS: ("user_id", "source", "plan_code", "realm"),
}


def _updates(where: str) -> Iterator[str]:
    for table in _TABLES:
        yield f"{table}_out AS (UPDATE {table} SET archive = '' WHERE {where})"  # noqa: S608
    yield f"notes_out AS (DELETE FROM archive_notes WHERE {where})"  # noqa: S608 - our own names


def _put(table: str, prefix: str, keys: tuple[str, ...]) -> str:
    names = (*keys, "archive")
    arrays = ", ".join(f"CAST(:{prefix}_{name} AS text[])" for name in names)
    same = " AND ".join(f"{table}.{name} = sent.{name}" for name in keys)
    return (
        f"{table}_put AS (UPDATE {table} SET archive = sent.archive"  # noqa: S608 - our own names
        f" FROM unnest({arrays}) AS sent ({', '.join(names)}) WHERE {same})"
    )


_OF_PARTIES = "party = ANY(:parties) AND archive <> ''"
_TAKE_OUT_ALL = text(
    f"WITH {', '.join(_updates(_OF_PARTIES))},"  # noqa: S608 - our own names
    " ended AS (DELETE FROM archive_updates WHERE party = ANY(:parties))"
    " DELETE FROM archive_keys WHERE party = ANY(:parties)"
)
_OPENED = (
    "(party, archive) IN (SELECT * FROM unnest(CAST(:parties AS text[]),"
    " CAST(:archives AS text[])))"
)
_TAKE_OUT = text(
    f"WITH {', '.join(_updates(_OPENED))} DELETE FROM archive_keys WHERE {_OPENED}"  # noqa: S608
)
_TAKE_OUT_FACTS = text(
    "UPDATE facts SET archive = '' WHERE (event_id, object_key) IN"
    " (SELECT * FROM unnest(CAST(:events AS text[]), CAST(:keys AS text[])))"
)
_PUT_AWAY = text(
    "WITH "  # noqa: S608 - our own names
    + ", ".join(
        [
            _put("facts", "fact", ("event_id", "object_key")),
            *(_put(table, table, _KEYS[table]) for table in ARCHIVED_TABLES),
        ]
    )
    + " UPDATE memberships SET archive = sent.archive"
    " FROM unnest(CAST(:object_object_key AS text[]), CAST(:object_archive AS text[]))"
    " AS sent (object_key, archive) WHERE memberships.object_key = sent.object_key"
)
