"""Facts of an earlier release are read again: on touch, by a job, and while events flow.

``reader_1.jsonl.gz`` holds a database as the release before facts had numbers left it: sample
lifecycles in three API shapes, an invoice, and the credit note of it, which no reader knew then.
"""

import gzip
import json
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from billing.facts import FIRST_READER, READER_NUMBER
from billing.ids import PartyId
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.errors import FactsOutdated
from runtime.ledger.maintenance import outdated as outdated_module
from runtime.ledger.maintenance.outdated import OutdatedCount, OutdatedFacts, count_outdated
from runtime.ledger.maintenance.rebuild import Rebuilder, Rebuilt
from runtime.ledger.maintenance.reproject import project_due, reproject
from runtime.ledger.prepare import Scope
from runtime.ledger.record import Ledger
from tests.runtime.ledger.delivery_builders import contents, customer, delivery, event, rows
from tests.runtime.ledger.observation_builders import BY_ADA, seen, subscription

pytestmark = pytest.mark.servers

STORED = Path(__file__).with_name("reader_1.jsonl.gz")
SCOPE = Scope(livemode="any", accounts=frozenset())
CREDITED = PartyId("test:cus_credited")
AS_ANEW = ("audit_logs", "payment_events", "entitlement_changes", "user_versions")
"""Tables that say in which order something became known, which differs."""

NEW_COLUMNS = {"purchases": {"line": "", "quantity": 1}}
"""Columns without a default that the release before did not have."""

NUMBERED = {"stripe_events": {"settlement", "fetched"}, "payment_events": {"id"}}
"""Columns that the database numbers by itself, and one that it no longer has, empty in all rows."""


def stored_rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(STORED.read_bytes()).splitlines()]


def bodies() -> list[bytes]:
    return [
        each["row"]["payload"].encode()
        for each in stored_rows()
        if each["table"] == "stripe_events"
    ]


@pytest.fixture
def earlier(engine: Engine) -> Engine:
    """Return a database with all that the earlier release left."""
    with engine.begin() as connection:
        for each in stored_rows():
            table, row = each["table"], NEW_COLUMNS.get(each["table"], {}) | each["row"]
            names = ", ".join(row.keys() - NUMBERED.get(table, set()))
            connection.execute(
                text(
                    f"INSERT INTO {table} ({names}) SELECT {names}"  # noqa: S608 - our own names
                    f" FROM jsonb_populate_record(NULL::{table}, CAST(:row AS jsonb))"
                ),
                {"row": json.dumps(row)},
            )
    return engine


def outdated_facts(engine: Engine) -> OutdatedFacts:
    return OutdatedFacts(engine=engine, scope=SCOPE)


def waiting(engine: Engine) -> OutdatedCount:
    with engine.connect() as connection:
        return count_outdated(connection)


def readers(engine: Engine) -> dict[str, int]:
    return dict(rows(engine, "SELECT party, reader FROM parties"))


def renamed_customers(engine: Engine) -> list[bytes]:
    """Return an event for each party that changes nothing but what the customer is named by."""
    parties = rows(engine, "SELECT party FROM parties ORDER BY party")
    return [event("customer.updated", customer(party.removeprefix("test:"))) for party in parties]


def test_what_an_earlier_release_read_becomes_what_a_new_database_would_hold(
    earlier: Engine, another_engine: Callable[[str], Engine]
) -> None:
    anew, flowing = another_engine("anew"), renamed_customers(earlier)
    facts = outdated_facts(earlier)
    ledger = Ledger(
        earlier,
        livemode="any",
        accounts=frozenset(),
        deciding_seconds=inf,
        read_again=facts.read_parties,
    )

    with ThreadPoolExecutor() as pool:
        reading = pool.submit(read_all, outdated_facts(earlier))
        settling = pool.submit(lambda: [ledger.record([delivery(body)]) for body in flowing])
        reading.result(), settling.result()
    read_all(facts)
    Ledger(anew, livemode="any", accounts=frozenset(), deciding_seconds=inf).record(
        [delivery(body) for body in (*bodies(), *flowing)]
    )

    assert waiting(earlier) == OutdatedCount(parties=0, events=0)
    assert without_outcomes(contents(earlier, without=AS_ANEW)) == without_outcomes(
        contents(anew, without=AS_ANEW)
    )


def read_all(facts: OutdatedFacts) -> None:
    while facts.read_next():
        pass


def without_outcomes(tables: dict[str, list[str]]) -> dict[str, list[Any]]:
    """Leave out what depends on the events that were known when one came."""
    by_arrival = {"outcome": "", "reason": "", "pending_fetches": None}
    events = [json.loads(row) | by_arrival for row in tables["stripe_events"]]
    return {**tables, "stripe_events": sorted(events, key=lambda each: str(each["id"]))}


def test_the_rows_of_a_party_stay_as_they_are_until_it_is_read_again(earlier: Engine) -> None:
    before = contents(earlier)
    party = min(readers(earlier))
    touching = delivery(event("customer.updated", customer(party.removeprefix("test:"))))

    with pytest.raises(FactsOutdated) as refused:
        Ledger(earlier, livemode="any", accounts=frozenset(), deciding_seconds=inf).record(
            [touching]
        )
    with pytest.raises(FactsOutdated):
        reproject(earlier, CatalogueCache(), [PartyId(party)], actor="ada", reason="new plans")
    with earlier.begin() as connection:
        connection.execute(text("UPDATE parties SET due_at = now() - interval '1 hour'"))
    assert project_due(earlier, CatalogueCache(), 10) == 0

    assert refused.value.parties == {party}
    assert contents(earlier, without=["parties"]) == {
        table: found for table, found in before.items() if table != "parties"
    }


def test_an_event_that_touches_a_party_reads_it_again_and_no_other(earlier: Engine) -> None:
    party = min(readers(earlier))
    ledger = Ledger(
        earlier,
        livemode="any",
        accounts=frozenset(),
        deciding_seconds=inf,
        read_again=outdated_facts(earlier).read_parties,
    )

    ledger.record([delivery(event("customer.updated", customer(party.removeprefix("test:"))))])

    changed = {name for name, reader in readers(earlier).items() if reader == READER_NUMBER}
    numbers = set(
        rows(earlier, "SELECT fact ->> 'reader' FROM facts WHERE party = :party", party=party)
    )
    assert changed == {party}
    assert numbers == {str(READER_NUMBER)}


def test_a_rebuild_from_facts_reads_again_what_it_has_to(earlier: Engine) -> None:
    party = PartyId(min(readers(earlier)))
    rebuilder = Rebuilder(
        engine=earlier,
        catalogues=CatalogueCache(),
        scope=SCOPE,
        actor="ada",
        reason="look again",
        dry_run=False,
    )

    rebuilt = rebuilder.from_facts([party])

    assert rebuilt.events > 0
    assert readers(earlier)[party] == READER_NUMBER


def test_an_event_of_a_type_that_no_reader_knew_is_read_once_one_does(earlier: Engine) -> None:
    facts = outdated_facts(earlier)
    assert waiting(earlier).events == 1

    facts.read_next()

    settled = rows(earlier, "SELECT outcome, reason FROM stripe_events WHERE type ~ '^credit_note'")
    kinds = rows(earlier, "SELECT kind FROM facts WHERE party = :party", party=CREDITED)
    assert settled == [("applied", None)]
    assert sorted(kinds) == ["credit_note", "invoice"]
    assert readers(earlier)[CREDITED] == READER_NUMBER


def test_an_event_that_still_states_nothing_is_read_once(earlier: Engine) -> None:
    with earlier.begin() as connection:
        connection.execute(
            text(
                "UPDATE stripe_events SET payload = replace(payload, '\"cn_credited\"', '{}')"
                " WHERE type ~ '^credit_note'"
            )
        )

    outdated_facts(earlier).read_next()

    reasons = rows(earlier, "SELECT reason FROM stripe_events WHERE type ~ '^credit_note'")
    assert reasons == ["nothing_stated"]
    assert waiting(earlier).events == 0


def test_an_interrupted_run_goes_on_where_it_was(
    earlier: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outdated_module, "MAX_EVENTS", 1)
    first = outdated_facts(earlier)
    first.read_next()
    first.read_next()
    left = waiting(earlier).parties

    read_all(outdated_facts(earlier))

    assert 0 < left < len(readers(earlier))
    assert waiting(earlier) == OutdatedCount(parties=0, events=0)


def test_a_party_that_cannot_be_read_stops_no_other(earlier: Engine) -> None:
    broken = min(readers(earlier).keys() - {CREDITED})
    facts = Stubborn(engine=earlier, scope=SCOPE)
    facts.broken = PartyId(broken)

    for _ in range(100):
        try:
            if not facts.read_next():
                break
        except RuntimeError:
            continue

    assert [name for name, reader in readers(earlier).items() if reader == FIRST_READER] == [broken]
    facts.broken = None
    read_all(facts)
    assert waiting(earlier).parties == 0


def test_what_the_api_showed_for_no_event_is_read_again(ledger: Ledger, engine: Engine) -> None:
    ledger.observe([seen(subscription())], BY_ADA)
    before = contents(engine)
    with engine.begin() as connection:
        older = """fact || '{"reader": 1}' #- '{fields,metadata}'"""
        connection.execute(text(f"UPDATE facts SET fact = {older}"))  # noqa: S608 - our own words
        connection.execute(text("UPDATE parties SET reader = 1"))

    read_all(outdated_facts(engine))

    assert waiting(engine).parties == 0
    assert contents(engine) == before


class Stubborn(OutdatedFacts):
    """Fails whenever it is to read a certain party."""

    broken: PartyId | None = None

    def read_parties(self, parties: Collection[PartyId]) -> Rebuilt:
        """Read the parties, unless the broken one is among them."""
        if self.broken in parties:
            raise RuntimeError("this party cannot be read")
        return super().read_parties(parties)
