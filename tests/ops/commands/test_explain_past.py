"""``paidup explain --at``: the past, from the audit."""

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
from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import Books
from tests.runtime.ledger.conftest import ledger_on

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def _deployed(books: Books, deployed: Callable[..., None]) -> None:
    deployed(DATABASE_URL=books.url)


def now(books: Books) -> str:
    with books.engine.connect() as connection:
        at: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return at.isoformat()


def answers(paidup: Paidup, *arguments: str) -> dict[str, Any]:
    document = json.loads(paidup("explain", *arguments, "--json"))
    return {answer["feature"]: answer for answer in document["features"]}


def in_two(books: Books, name: str) -> tuple[str, list[Event]]:
    """A lifecycle up to its refund, the moment then, and the rest of it."""
    events = list(books.compose(name).events)
    cut = next(n for n, event in enumerate(events) if "refund" in event.type)
    books.record(events[:cut])
    moment = now(books)
    books.record(events[cut:])
    return moment, events[cut:]


def test_what_was_taken_away_since_was_allowed_then(books: Books, paidup: Paidup) -> None:
    moment, _ = in_two(books, "refund_full")

    then = answers(paidup, "usr_1", "lifetime", "--at", moment)["lifetime"]
    assert not answers(paidup, "usr_1", "lifetime")["lifetime"]["allowed"]
    reason = then["reasons"][0]

    assert (then["allowed"], reason["in_force"], reason["counts"]) == (True, True, True)
    assert reason["because"].endswith("is paid.")
    assert reason["entry"]["action"] == "entitlement.granted"
    assert reason["entry"]["catalogue_version"] == 1
    said = paidup("explain", "usr_1", "--at", moment)
    assert "lifetime: was allowed, with no end in sight by what was known" in said
    assert f"granted at {stamp_of(reason)}" in said
    assert f"by {reason['entry']['event_id']}, by version 1 of the plans: entry" in said
    assert "plans of record then: version 1" in said


def stamp_of(reason: dict[str, Any]) -> str:
    return datetime.fromisoformat(reason["entry"]["at"]).strftime("%Y-%m-%d %H:%M:%SZ")


def test_what_had_been_taken_away_names_the_entry_that_did_it(books: Books, paidup: Paidup) -> None:
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
    books: Books, paidup: Paidup
) -> None:
    books.tell("onetime")
    catalogues.switch(books.engine, Catalogue(), actor="cli:ada", reason="closing down")
    with books.engine.connect() as connection:
        parties = [PartyId(each) for each in connection.scalars(text("SELECT party FROM parties"))]
    ledger_on(books.engine).reproject(parties, actor="cli:ada", reason="closing down")

    said = paidup("explain", "usr_1", "lifetime", "--at", now(books))

    assert "by cli:ada (closing down), by version 2 of the plans: entry" in said
    assert "plans of record then: version 2" in said


def test_a_feature_that_nothing_gave_names_the_plans_that_did(books: Books, paidup: Paidup) -> None:
    books.tell("onetime")

    said = paidup("explain", "usr_1", "signals_enabled", "--at", now(books))

    assert "signals_enabled: was not allowed" in said
    assert "usr_1 had nothing that gave it; plans that did: premium" in said


def test_what_no_fact_states_any_more_was_taken_by_whoever_made_it_so(
    books: Books, paidup: Paidup
) -> None:
    """A row without facts goes with a rebuild; the audit keeps what it was."""
    books.tell("onetime")
    with books.engine.begin() as connection:
        connection.execute(text("DELETE FROM facts"))
    paidup("rebuild", "--all", "--reason", "facts were lost", "--as", "ada")

    said = paidup("explain", "usr_1", "lifetime", "--at", now(books))

    assert "- Nothing that is kept states it any more." in said
    assert "revoked at" in said
    assert "by cli:ada (facts were lost): entry" in said


def test_entries_of_older_releases_are_read_too(books: Books, paidup: Paidup) -> None:
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
    assert "decided by evt_1, as a guess" in said
    assert "by evt_1: entry" in said


def test_a_moment_may_be_named_in_any_zone_or_as_a_day(books: Books, paidup: Paidup) -> None:
    books.tell("onetime")
    at = datetime.now(UTC) + timedelta(hours=5, minutes=30)
    assert "was allowed" in paidup("explain", "usr_1", "--at", f"{at:%Y-%m-%dT%H:%M:%S.%f}+05:30")

    paidup("explain", "usr_1", "--at", "2026-01-01", code=1)
    assert "at 2026-01-01 00:00:00Z nothing was on record about access of usr_1" in paidup.err
    assert "the audit begins at 20" in paidup.err
    assert "with entry" in paidup.err
    paidup("explain", "usr_1", "--at", "1h", code=1)
    assert "nothing was on record" in paidup.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["usr_nobody", "--at", "2026-01-01"], 1, "nobody here is called 'usr_nobody'"),
        (["usr_1", "--at", "2999-01-01"], 2, "2999-01-01 00:00:00Z lies ahead: leave --at out"),
        (["usr_1", "--at", "soon"], 2, "'soon' is no time"),
        (["usr_2", "--at", "0s"], 1, "no entry about access of usr_2: there never was any"),
        (["usr_1", "nonsense", "--at", "0s"], 1, "no plan gives a feature 'nonsense'"),
    ],
)
def test_bad_input_gets_one_sentence(
    arguments: list[str], code: int, said: str, books: Books, paidup: Paidup
) -> None:
    books.tell("onetime")
    books.tell("checkout_expired", user="usr_2", seed="x")

    paidup("explain", *arguments, code=code)

    assert said in paidup.err
