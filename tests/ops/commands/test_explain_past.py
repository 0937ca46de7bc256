"""``paidup explain --at``: the past, from the audit log."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from billing.catalogue import Catalogue
from billing.ids import PartyId
from ops.samples.scenario import Event
from runtime.ledger import catalogues
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.maintenance.reproject import reproject
from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def _deployed(books: SeededDatabase, deployed: Callable[..., None]) -> None:
    deployed(DATABASE_URL=books.url)


def now(books: SeededDatabase) -> str:
    with books.engine.connect() as connection:
        at: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return at.isoformat()


def answers(paidup: Paidup, *arguments: str) -> dict[str, Any]:
    document = json.loads(paidup("explain", *arguments, "--json"))
    return {answer["feature"]: answer for answer in document["features"]}


def in_two(books: SeededDatabase, name: str) -> tuple[str, list[Event]]:
    """Return a lifecycle up to its refund, the time then, and the rest of it."""
    events = list(books.compose(name).events)
    cut = next(n for n, event in enumerate(events) if "refund" in event.type)
    books.record(events[:cut])
    moment = now(books)
    books.record(events[cut:])
    return moment, events[cut:]


def test_what_was_taken_away_since_was_allowed_then(books: SeededDatabase, paidup: Paidup) -> None:
    moment, _ = in_two(books, "refund_full")

    then = answers(paidup, "usr_1", "lifetime", "--at", moment)["lifetime"]
    assert not answers(paidup, "usr_1", "lifetime")["lifetime"]["allowed"]
    reason = then["reasons"][0]

    assert (then["allowed"], reason["in_force"], reason["counts"]) == (True, True, True)
    assert reason["because"].endswith("is paid.")
    assert reason["entry"]["action"] == "entitlement.granted"
    assert reason["entry"]["catalogue_version"] == 1
    said = paidup("explain", "usr_1", "--at", moment)
    assert "lifetime: was allowed, with no end in sight by what was known then" in said
    assert f"granted at {stamp_of(reason)}" in said
    assert f"by {reason['entry']['event_id']}, by version 1 of the plans: audit entry" in said
    assert "catalogue then: version 1" in said


def stamp_of(reason: dict[str, Any]) -> str:
    return datetime.fromisoformat(reason["entry"]["at"]).strftime("%Y-%m-%d %H:%M:%SZ")


def test_what_had_been_taken_away_names_the_entry_that_did_it(
    books: SeededDatabase, paidup: Paidup
) -> None:
    _, rest = in_two(books, "refund_full")

    then = answers(paidup, "usr_1", "lifetime", "--at", now(books))["lifetime"]
    reason = then["reasons"][0]

    assert (then["allowed"], reason["in_force"]) == (False, False)
    assert reason["entry"]["action"] == "entitlement.revoked"
    assert reason["entry"]["event_id"] in {event.id for event in rest}
    said = paidup("explain", "usr_1", "lifetime", "--at", now(books))
    assert "lifetime: was not allowed" in said
    assert "- Purchase pi_" in said
    assert "gave it from" in said


def test_plans_and_time_are_named_where_no_event_was_the_cause(
    books: SeededDatabase, paidup: Paidup
) -> None:
    books.tell("onetime")
    catalogues.switch(books.engine, Catalogue(), actor="cli:ada", reason="closing down")
    with books.engine.connect() as connection:
        parties = [PartyId(each) for each in connection.scalars(text("SELECT party FROM parties"))]
    reproject(books.engine, CatalogueCache(), parties, actor="cli:ada", reason="closing down")

    said = paidup("explain", "usr_1", "lifetime", "--at", now(books))

    assert "by cli:ada (closing down), by version 2 of the plans: audit entry" in said
    assert "catalogue then: version 2" in said


def test_a_feature_that_nothing_gave_names_the_plans_that_did(
    books: SeededDatabase, paidup: Paidup
) -> None:
    books.tell("onetime")

    said = paidup("explain", "usr_1", "signals_enabled", "--at", now(books))

    assert "signals_enabled: was not allowed" in said
    assert "usr_1 had nothing that gave it; plans that did: premium" in said


def test_what_no_fact_states_any_more_was_taken_by_whoever_made_it_so(
    books: SeededDatabase, paidup: Paidup
) -> None:
    """Rebuild after the facts are lost: the row goes, the audit keeps it."""
    books.tell("onetime")
    with books.engine.begin() as connection:
        connection.execute(text("DELETE FROM facts"))
    paidup("rebuild", "--all", "--reason", "facts were lost", "--as", "ada")

    said = paidup("explain", "usr_1", "lifetime", "--at", now(books))

    assert "- No stored fact states it any more." in said
    assert "revoked at" in said
    assert "by cli:ada (facts were lost): audit entry" in said


def test_entries_of_older_releases_are_read_too(books: SeededDatabase, paidup: Paidup) -> None:
    with books.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO audit_logs (actor, action, outcome, origin, target_type, target_id,"
                " user_id, event_id, after) VALUES ('stripe', 'entitlement.granted', 'done',"
                " 'stripe', 'entitlement', 'pi_1/lifetime', 'usr_1', 'evt_1', :after)"
            ),
            {
                "after": json.dumps(
                    {
                        "realm": "test",
                        "user_id": "usr_1",
                        "source": "pi_1",
                        "plan_code": "lifetime",
                        "entitlements": {"lifetime": True},
                        "active": True,
                        "starts_at": "2026-01-01T00:00:00+00:00",
                        "expires_at": None,
                        "event_id": "evt_1",
                        "because": "Purchase pi_1 is paid.",
                        "guessed": True,
                    }
                )
            },
        )

    said = paidup("explain", "usr_1", "--at", now(books))

    assert "lifetime: was allowed" in said
    assert "decided by evt_1 (a guess)" in said
    assert "by evt_1: audit entry" in said


def test_a_moment_may_be_named_in_any_zone_or_as_a_day(
    books: SeededDatabase, paidup: Paidup
) -> None:
    books.tell("onetime")
    at = datetime.now(UTC) + timedelta(hours=5, minutes=30)
    assert "was allowed" in paidup("explain", "usr_1", "--at", f"{at:%Y-%m-%dT%H:%M:%S.%f}+05:30")

    paidup("explain", "usr_1", "--at", "2026-01-01", code=1)
    assert "at 2026-01-01 00:00:00Z the audit log had no entry about access of usr_1" in paidup.err
    assert "it begins at 20" in paidup.err
    assert "with entry" in paidup.err
    paidup("explain", "usr_1", "--at", "1h", code=1)
    assert "the audit log had no entry" in paidup.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["usr_nobody", "--at", "2026-01-01"], 1, "no event names 'usr_nobody'"),
        (["usr_1", "--at", "2999-01-01"], 2, "2999-01-01 00:00:00Z is in the future: without --at"),
        (["usr_1", "--at", "soon"], 2, "'soon' is not a time"),
        (["usr_2", "--at", "0s"], 1, "no entry about access of usr_2"),
        (["usr_1", "nonsense", "--at", "0s"], 1, "no plan has a feature 'nonsense'"),
    ],
)
def test_bad_input_gets_one_sentence(
    arguments: list[str], code: int, said: str, books: SeededDatabase, paidup: Paidup
) -> None:
    books.tell("onetime")
    books.tell("checkout_expired", user="usr_2", seed="x")

    paidup("explain", *arguments, code=code)

    assert said in paidup.err
