"""Everything the database holds of some parties, in one round trip. Their locks must be held."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

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


def load(
    connection: Connection,
    parties: Iterable[PartyId],
    *,
    not_dead: Iterable[str] = (),
    read_again: Collection[PartyId] = (),
) -> dict[PartyId, Stored]:
    """Return what is stored of each of these parties, which may be nothing.

    ``not_dead`` are keys of events that had no open or discarded dead letter before.

    Raises:
        DeadLetterChanged: one of them has one now.
        FactsOutdated: earlier readers wrote facts of a party that is not in ``read_again``.
    """
    stored = {party: Stored() for party in parties}
    keys = sorted(not_dead)
    if not stored and not keys:
        return stored
    for source, name, value in connection.execute(
        _LOAD, {"parties": sorted(stored), "not_dead": keys}
    ):
        if source == _DEAD_LETTERS:
            raise DeadLetterChanged(name)
        _take(stored[name], source, value)
    older = [party for party, each in stored.items() if each.reader < READER_NUMBER]
    if outdated := set(older).difference(read_again):
        raise FactsOutdated(outdated)
    return stored


def keys_stated_by(
    connection: Connection, event_ids: Iterable[str]
) -> Mapping[str, frozenset[ObjectKey]]:
    """Return the objects that each of these settled events stated something about."""
    query = text("SELECT event_id, object_key FROM facts WHERE event_id = ANY(:ids)")
    stated: dict[str, set[ObjectKey]] = {}
    for event_id, object_key in connection.execute(query, {"ids": list(event_ids)}):
        stated.setdefault(event_id, set()).add(object_key)
    return {event_id: frozenset(keys) for event_id, keys in stated.items()}


_FACTS, _PARTIES, _DEAD_LETTERS = "facts", "parties", "dead_letters"
_LOAD = text(
    f"SELECT '{_FACTS}', party, fact FROM facts WHERE party = ANY(:parties)"  # noqa: S608
    f" UNION ALL SELECT '{_PARTIES}', party, jsonb_build_array(catalogue_version, reader)"
    " FROM parties WHERE party = ANY(:parties)"
    f" UNION ALL SELECT '{_DEAD_LETTERS}', event_id, NULL"
    " FROM dead_letters WHERE event_id = ANY(:not_dead) AND state <> 'replayed'"
    + "".join(
        f" UNION ALL SELECT '{table}', party, to_jsonb({table})"  # noqa: S608 - our own names
        f" FROM {table} WHERE party = ANY(:parties)"
        for table in TableName
    )
)


def _take(stored: Stored, source: str, value: Any) -> None:
    if source == _FACTS:
        stored.facts.append(fact_from_json(value))
    elif source == _PARTIES:
        stored.catalogue_version, stored.reader = value
    else:
        table = TableName(source)
        row = from_plain(table, value)
        stored.rows[table][row.key] = row
        if table is TableName.ENTITLEMENTS:
            stored.versions[row.key] = value["catalogue_version"]
