"""One party with its archives in memory: what the tables hold, without a database.

``load_past`` and ``BatchState`` are the ledger's own, so the decision what to load is the real one.
Only PostgreSQL and ``write`` are replaced. Beside it the party is kept whole, as it would
be without archives, and both are compared after every batch.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, cast

import pytest
from sqlalchemy import Connection

from billing.archiving import old_payments
from billing.archiving.archive import Archived, FactKey
from billing.archiving.dependencies import Dependencies
from billing.archiving.leaving import ArchivedNote, NoteKey, NoteKind, notes_of
from billing.catalogue import Catalogue, write_catalogue
from billing.fact_codec import fact_to_json
from billing.facts import READER_NUMBER, Fact
from billing.ids import ObjectKey, PartyId
from billing.projection.party import PartyFacts, project
from billing.rows import Key, Projection
from runtime.ledger import batch_state, catalogues, load, load_past
from runtime.ledger.archives import archive_parties, archives_columns
from runtime.ledger.batch_state import BatchState, PartyState
from runtime.ledger.catalogues import VersionedCatalogue
from runtime.ledger.decisions import Decision, RowDeleted, RowUpserted
from runtime.ledger.difference import difference
from runtime.ledger.errors import ArchivesNeeded
from runtime.ledger.load_past import NOTHING_MORE, BatchNeeds, EventNeeds
from runtime.ledger.locks import Secured
from runtime.ledger.maintenance import archive_updates
from runtime.ledger.parties import PartyAssignment
from runtime.ledger.rows import Row, Rows, TableName, no_rows, rows_of, to_plain

PARTY: Final = PartyId("test:cus_1")
TRIES: Final = 16
ROWS: Final = frozenset(TableName)

Place = tuple[TableName, Key]


@contextmanager
def archiving_above(size: int, *, kept: int, long_past: int = 10**9) -> Iterator[None]:
    """Archive whatever may go as soon as a party has more facts, and keep few payments.

    A party with more archived facts than ``long_past`` is changed in steps of two archives.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load_past, "IN_STEPS_ABOVE", long_past)
        patch.setattr(archive_updates, "ARCHIVES_AT_ONCE", 2)
        patch.setattr(batch_state, "ARCHIVE_ABOVE", size)
        patch.setattr(batch_state, "ARCHIVE_EVERY", 1)
        patch.setattr(old_payments, "KEPT_PAYMENTS", kept)
        yield


@dataclass(frozen=True, kw_only=True)
class StatedEvent:
    """The facts of one event; ``again`` if they replace what it stated before."""

    facts: tuple[Fact, ...]
    again: bool = False

    @property
    def mentions(self) -> frozenset[ObjectKey]:
        """Every object that it names."""
        return frozenset(key for fact in self.facts for key in (fact.object_key, *fact.mentions))


@dataclass(kw_only=True)
class PartyInMemory:
    """The tables of one party; each fact, object and row has the name of its archive, or ''."""

    catalogue: Catalogue
    version: int = 1
    facts: dict[FactKey, Fact] = field(default_factory=dict)
    archive_of: dict[FactKey, str] = field(default_factory=dict)
    objects: dict[ObjectKey, str] = field(default_factory=dict)
    rows: dict[Place, tuple[Row, str]] = field(default_factory=dict)
    special_keys: set[tuple[str, str]] = field(default_factory=set)
    notes: dict[NoteKey, ArchivedNote] = field(default_factory=dict)
    until: datetime | None = None
    dependencies: Dependencies = field(default_factory=dict)
    projected_by: int = 1
    projection: Projection = field(default_factory=Projection)
    catalogues: dict[int, Catalogue] = field(init=False)
    without_archives: "PartyWithoutArchives" = field(init=False)
    _is_same: bool = True
    position: str | None = None
    """The last archive that an update in steps has reached; None without an update."""
    rounds: int = 0
    again: bool = False
    loaded_whole: int = 0
    opened: int = 0
    steps: int = 0

    def __post_init__(self) -> None:
        self.catalogues = {self.version: self.catalogue}
        self.without_archives = PartyWithoutArchives(self.catalogue)

    def record(self, events: Sequence[StatedEvent], now: datetime) -> None:
        """Record a batch, as the ledger does, here and without archives."""
        was_changing = self.position is not None
        batch, decisions = self._decide(events, now)
        restated = frozenset(f.event_id for each in events if each.again for f in each.facts)
        self._write(batch, decisions, events, restated)
        expected = [self.without_archives.record(each, now) for each in events]
        assert decisions == expected or was_changing or self.position is not None

    def project(self, now: datetime, catalogue: Catalogue | None = None) -> None:
        """Project the party because time has passed, or because other plans are in force."""
        if catalogue is not None:
            self.version = self.without_archives.version = self.version + 1
            self.catalogue = self.without_archives.catalogue = catalogue
            self.catalogues[self.version] = catalogue
        stored = load_past.load_for_plans(self._connection, [PARTY], self._plans)
        was_changing = self.position is not None
        batch = BatchState(stored, plans=self._plans, now=now)
        party = batch.parties[PARTY]
        decisions = batch.project(party)
        if party.archives.in_steps:
            batch.compare_dependencies(party)
        self._write(batch, [decisions], (), frozenset())
        expected = self.without_archives.record(StatedEvent(facts=()), now)
        assert decisions == expected or was_changing or self.position is not None

    def step(self, now: datetime) -> None:
        """Do the next step of an update, if there is one."""
        position = self.position
        if position is None or self.projected_by != self.version:
            return
        self.steps += 1
        left = sorted({name for name in self.archive_of.values() if name > position})
        names = left[: archive_updates.ARCHIVES_AT_ONCE]
        asked = None if self.rounds >= archive_updates.MAX_ROUNDS else names
        try:
            self._open(asked, now)
        except ArchivesNeeded:
            self._open(None, now)
            return
        if self.position is None:
            return
        self.again |= not self._is_same
        if len(names) == archive_updates.ARCHIVES_AT_ONCE:
            self.position = names[-1]
        elif self.again:
            self.position, self.rounds, self.again = "", self.rounds + 1, False
        else:
            self.position = None

    def _open(self, names: Sequence[str] | None, now: datetime) -> None:
        before = self.dependencies
        stored = load_past.load_archives(self._connection, PARTY, names)
        batch, decisions = archive_updates.project_archives(PARTY, stored, self._plans, now)
        self._write(batch, [decisions], (), frozenset())
        self._is_same = self.dependencies == before

    def differences(self, now: datetime) -> list[object]:
        """Return what differs from the projection of all facts, and of those not archived."""
        whole = project(self.facts.values(), self.catalogue, now)
        live = project(self._facts_in({""}), self.catalogue, now)
        known = {place: row for place, (row, _) in self.rows.items()}
        loaded = {place: row for place, (row, archive) in self.rows.items() if not archive}
        return [
            *_different_rows(known, rows_of(whole)),
            *_different_rows(loaded, rows_of(live)),
            *_other_differences(live, whole),
            *_other_differences(self.projection, whole),
            *self._different_notes(live, whole),
            *self._different_notes(self.projection, whole),
        ]

    def _different_notes(self, known: Projection, expected: Projection) -> list[object]:
        """Return the notes that differ, and those that are both archived and not."""
        archived = {key: note.value for key, note in self.notes.items()}
        loaded, wanted = notes_of(known), notes_of(expected)
        twice = loaded.keys() & archived.keys()
        found = loaded | archived
        names = sorted(found.keys() | wanted.keys())
        missing = object()
        wrong = [each for each in names if found.get(each, missing) != wanted.get(each, missing)]
        return [*twice, *wrong]

    @property
    def _plans(self) -> VersionedCatalogue:
        return VersionedCatalogue(version=self.version, catalogue=self.catalogue)

    @property
    def _connection(self) -> Connection:
        return cast("Connection", _Statements(self))

    def _decide(
        self, events: Sequence[StatedEvent], now: datetime
    ) -> tuple[BatchState, list[tuple[Decision, ...]]]:
        request = NOTHING_MORE
        for _ in range(TRIES):
            needs = BatchNeeds([_needs(each) for each in events], self._plans, request, ())
            stored = load_past.load_past(self._connection, self._secured, needs)
            batch = BatchState(stored, plans=self._plans, now=now, request=request)
            decisions = [_decided(batch, each) for each in events]
            if batch.lacking == NOTHING_MORE:
                return batch, decisions
            request |= batch.lacking
        raise AssertionError("the batch asks for more again and again")

    @property
    def _secured(self) -> Secured:
        return Secured(
            assignments=(),
            stored=frozenset({PARTY} if self.objects else ()),
            ends={},
            known=dict.fromkeys(self.objects, PARTY),
            archives={key: name for key, name in self.objects.items() if name},
        )

    def _write(
        self,
        batch: BatchState,
        decisions: Iterable[Iterable[Decision]],
        events: Iterable[StatedEvent],
        restated: frozenset[str],
    ) -> None:
        archived = archive_parties(batch).get(PARTY)
        party = batch.parties[PARTY]
        self._take_out(party)
        for key in [key for key in self.facts if key[0] in restated]:
            del self.facts[key], self.archive_of[key]
        for fact in (fact for each in events for fact in each.facts):
            self.facts[fact.event_id, fact.object_key] = fact
            self.archive_of[fact.event_id, fact.object_key] = ""
        for named in (named for each in events for named in each.mentions):
            self.objects.setdefault(named, "")
        self._write_rows(one for each in decisions for one in each)
        if archived:
            self._put_away(archived)
        if party.archives.is_whole:
            self.position = None
        elif party.archives.left:
            self.position, self.rounds, self.again = "", 0, False
        columns = archives_columns(party, archived)
        self.until, self.dependencies = columns["archived_until"], columns["dependencies"]
        self.projected_by = self.version
        assert party.projection is not None
        self.projection = archived.rest if archived else party.projection

    def _write_rows(self, decisions: Iterable[Decision]) -> None:
        for each in decisions:
            match each:
                case RowUpserted(table=table, row=row):
                    place = (table, row.key)
                    assert self.rows.get(place, (row, ""))[1] == "", f"{place} is archived"
                    self.rows[place] = (row, "")
                case RowDeleted(table=table, key=key):
                    assert self.rows.pop((table, key))[1] == "", f"{table} {key} is archived"
                case _:
                    pass

    def _take_out(self, party: PartyState) -> None:
        archives = party.archives
        names = archives.opened
        if archives.is_whole:
            names = frozenset(self.archive_of.values()) | {name for _, name in self.special_keys}
            names |= {note.archive for note in self.notes.values()}
        self.loaded_whole += bool(archives.is_whole and archives.until)
        self.opened += bool(archives.opened)
        self.archive_of |= {key: "" for key, name in self.archive_of.items() if name in names}
        self.archive_of |= dict.fromkeys(archives.taken_out, "")
        self.objects |= {key: "" for key, name in self.objects.items() if name in names}
        rows = self.rows.items()
        self.rows |= {place: (row, "") for place, (row, name) in rows if name in names}
        self.special_keys = {each for each in self.special_keys if each[1] not in names}
        self.notes = {key: note for key, note in self.notes.items() if note.archive not in names}

    def _put_away(self, archived: Archived) -> None:
        for each in archived.archives:
            self.archive_of |= dict.fromkeys(each.facts, each.name)
            self.objects |= {key: each.name for key in each.keys if key in self.objects}
            self.special_keys |= {(key, each.name) for key in each.special_keys}
        for note in archived.leaving.notes:
            assert (note.kind, note.name) not in self.notes, f"{note} is archived twice"
            self.notes[note.kind, note.name] = note
        tables: Mapping[TableName, Mapping[Key, str]] = {
            TableName.PURCHASES: archived.leaving.purchases,
            TableName.PAYMENTS: archived.leaving.payments,
            TableName.ENTITLEMENTS: archived.leaving.entitlements,
        }
        for table, rows in tables.items():
            for key, name in rows.items():
                self.rows[table, key] = (self.rows[table, key][0], name)

    def _facts_in(self, archives: Iterable[str]) -> list[Fact]:
        names = frozenset(archives)
        return [fact for key, fact in self.facts.items() if self.archive_of[key] in names]


class PartyWithoutArchives:
    """The same party, always loaded whole."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.version = 1
        self._facts = PartyFacts()
        self._rows: Rows = no_rows()
        self._versions: Mapping[Key, int] = {}

    def record(self, event: StatedEvent, now: datetime) -> tuple[Decision, ...]:
        """Return what the event changes."""
        for event_id in {fact.event_id for fact in event.facts if event.again}:
            self._facts.replace(event_id, ())
        self._facts.add(event.facts)
        rows = rows_of(self._facts.project(self.catalogue, now))
        before, self._rows = self._rows, rows
        versions = self._versions
        self._versions = dict.fromkeys(rows[TableName.ENTITLEMENTS], self.version)
        return difference(before, rows, versions)


def _decided(batch: BatchState, event: StatedEvent) -> tuple[Decision, ...]:
    party = batch.party_for(PartyAssignment(party=PARTY, absorbed=()))
    if event.again:
        return batch.replace_facts(party, {fact.event_id for fact in event.facts}, event.facts)
    return batch.add_facts(party, event.facts)


def _needs(event: StatedEvent) -> EventNeeds:
    again = frozenset(fact.event_id for fact in event.facts if event.again)
    return EventNeeds(mentions=event.mentions, facts=event.facts, restates=again)


def _different_rows(known: Mapping[Place, Row], expected: Rows) -> list[object]:
    wanted = {(table, key): row for table, rows in expected.items() for key, row in rows.items()}
    places = sorted(known.keys() | wanted.keys())
    pairs = [(place, known.get(place), wanted.get(place)) for place in places]
    return [each for each in pairs if each[1] != each[2]]


def _other_differences(known: Projection, expected: Projection) -> list[object]:
    names = [name for name in Projection.__dataclass_fields__ if name not in _APART]
    pairs = [(name, getattr(known, name), getattr(expected, name)) for name in names]
    return [each for each in pairs if each[1] != each[2]]


_APART: Final = frozenset({*TableName, *NoteKind, "entitlements", "waiting"})
"""What is compared as rows or as notes, or follows from those."""


class _Statements:
    """Answers the statements of ``load_past`` as PostgreSQL would."""

    def __init__(self, party: PartyInMemory) -> None:
        self._party = party

    def execute(self, statement: object, given: Mapping[str, Any]) -> list[Any]:
        """Return the rows of a statement."""
        return self._answers[id(statement)](self, given)

    def scalars(self, statement: object, given: Mapping[str, Any]) -> list[Any]:
        """Return the first column of a statement."""
        return self.execute(statement, given)

    def _live(self, given: Mapping[str, Any]) -> list[Any]:
        if PARTY not in given["parties"]:
            return []
        party = self._party
        until = party.until and party.until.isoformat()
        stored = [party.projected_by, READER_NUMBER, until, party.dependencies]
        return [*self._rows_in(ROWS, {""}), ("parties", PARTY, stored)]

    def _opened(self, given: Mapping[str, Any]) -> list[Any]:
        return self._rows_in(load.ARCHIVED_TABLES, given["archives"])

    def _archived(self, _: Mapping[str, Any]) -> list[Any]:
        names = {*self._party.archive_of.values(), *(name for _, name in self._party.rows.values())}
        return self._rows_in(load.ARCHIVED_TABLES, names - {""})

    def _rows_in(self, tables: Iterable[TableName], archives: Iterable[str]) -> list[Any]:
        names, asked = frozenset(archives), frozenset(tables)
        facts = [("facts", PARTY, fact_to_json(f)) for f in self._party._facts_in(names)]
        versions = {"catalogue_version": self._party.projected_by}
        return facts + [
            (table, PARTY, to_plain(row) | versions)
            for (table, _), (row, name) in self._party.rows.items()
            if table in asked and name in names
        ]

    def _by_key(self, given: Mapping[str, Any]) -> list[Any]:
        found = {name for key, name in self._party.special_keys if key in given["keys"]}
        return [(PARTY, name) for name in sorted(found)] if PARTY in given["parties"] else []

    def _restated(self, given: Mapping[str, Any]) -> list[Any]:
        archived = {key[0] for key, name in self._party.archive_of.items() if name}
        return [PARTY] if archived.intersection(given["ids"]) else []

    def _with_long_past(self, given: Mapping[str, Any]) -> list[Any]:
        archived = sum(name != "" for name in self._party.archive_of.values())
        return given["parties"] if archived > given["most"] else []

    def _documents(self, given: Mapping[str, Any]) -> list[Any]:
        return [write_catalogue(self._party.catalogues[each]) for each in given["versions"]]

    def _around(self, given: Mapping[str, Any]) -> list[Any]:
        at, loaded, key = given["at"], given["loaded"], given["key"]
        named = self._party.archive_of
        archived = [f for k, f in self._party.facts.items() if k[1] == key and named[k]]
        moments = [fact.created_at for fact in archived]
        single = [each for each in moments if moments.count(each) == 1 and each not in loaded]
        first = max((each for each in single if each < at), default=min(moments, default=at))
        last = min((each for each in single if each > at), default=max(moments, default=at))
        return [(fact_to_json(fact),) for fact in archived if first <= fact.created_at <= last]

    _answers: Final[Mapping[int, Callable[["_Statements", Mapping[str, Any]], list[Any]]]] = {
        id(load._LIVE): _live,
        id(load.OPENED): _opened,
        id(load.ARCHIVED): _archived,
        id(load_past._BY_KEY): _by_key,
        id(load_past._RESTATED): _restated,
        id(load_past._AROUND): _around,
        id(load_past._WITH_LONG_PAST): _with_long_past,
        id(catalogues._DOCUMENTS): _documents,
    }
