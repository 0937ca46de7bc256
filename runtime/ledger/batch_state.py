"""Events decided one by one, in memory: each is projected by itself, however large the batch.

The book holds every party of a transaction as the events before left it. Nothing here reads or
writes the database, so a preview is the same computation.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from billing.facts import Fact
from billing.ids import EventId, ObjectKey, PartyId
from billing.projection.party import PartyFacts
from billing.rows import Projection
from runtime.ledger.catalogues import Record
from runtime.ledger.decisions import Decision
from runtime.ledger.difference import difference
from runtime.ledger.load import Stored
from runtime.ledger.parties import Landing
from runtime.ledger.rows import Rows, rows_of

FactKey = tuple[EventId, ObjectKey]


@dataclass(slots=True, kw_only=True)
class Account:
    """One party in the book: what is known of it and what followed from that so far."""

    facts: dict[FactKey, Fact]
    folded: PartyFacts
    rows: Rows
    catalogue_version: int | None
    projection: Projection | None = None

    def stated_by(self, event_id: EventId) -> dict[FactKey, Fact]:
        """What the event states as far as this party knows."""
        return {key: fact for key, fact in self.facts.items() if key[0] == event_id}

    def exchange(self, event_id: EventId, facts: Iterable[Fact]) -> None:
        """Let an event state these facts and none of those it stated before."""
        stated = _keyed(facts)
        for key in self.stated_by(event_id):
            del self.facts[key]
        self.facts.update(stated)
        self.folded.replace(event_id, stated.values())

    def newer_than(self, facts: Iterable[Fact]) -> EventId | None:
        """The newest event that is known, if none of these facts is the state of its object."""
        states = [(fact, self.folded.state_of(fact)) for fact in facts]
        if not states or any(state.event_id == fact.event_id for fact, state in states):
            return None
        newest = max((state for _, state in states), key=lambda s: (s.created_at, s.event_id))
        return newest.event_id


class Book:
    """The parties of one transaction, its clock and its catalogue."""

    def __init__(self, stored: Mapping[PartyId, Stored], *, record: Record, now: datetime) -> None:
        self.record = record
        self.now = now
        self._accounts = {party: _account(each) for party, each in stored.items()}

    @property
    def accounts(self) -> Mapping[PartyId, Account]:
        """The parties that are left after every merger."""
        return self._accounts

    def at(self, landing: Landing) -> Account:
        """The account an event belongs to, joined with those it connects it to."""
        account = self._accounts.pop(landing.party, None) or _account(Stored())
        absorbed = [self._accounts.pop(each) for each in landing.absorbed if each in self._accounts]
        for other in absorbed:
            account = _joined(account, other)
        self._accounts[landing.party] = account
        return account

    def state(self, account: Account, facts: Iterable[Fact]) -> tuple[Decision, ...]:
        """Take in what an event states for the first time."""
        stated = _keyed(facts)
        account.facts.update(stated)
        account.folded.add(stated.values())
        return self.project(account)

    def restate(
        self, account: Account, event_id: EventId, facts: Iterable[Fact]
    ) -> tuple[Decision, ...]:
        """Take in what an event states by today's reading, in place of what it stated before."""
        account.exchange(event_id, facts)
        return self.project(account)

    def project(self, account: Account) -> tuple[Decision, ...]:
        """Compute the party's rows again and say what has to change for them to stand."""
        projection = account.folded.project(self.record.catalogue, self.now)
        before, account.rows = account.rows, rows_of(projection)
        account.projection = projection
        return difference(before, account.rows)


def _keyed(facts: Iterable[Fact]) -> dict[FactKey, Fact]:
    return {(fact.event_id, fact.object_key): fact for fact in facts}


def _account(stored: Stored) -> Account:
    return Account(
        facts=_keyed(stored.facts),
        folded=PartyFacts(stored.facts),
        rows=stored.rows,
        catalogue_version=stored.catalogue_version,
    )


def _joined(account: Account, other: Account) -> Account:
    facts = account.facts | other.facts
    return Account(
        facts=facts,
        folded=PartyFacts(facts.values()),
        rows={table: {**rows, **other.rows[table]} for table, rows in account.rows.items()},
        catalogue_version=account.catalogue_version,
    )
