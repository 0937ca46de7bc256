"""``paidup runs``."""

import json
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from billing.ids import Realm
from models.tables import AuditLog
from ops.stripe_runs.runs import OpenRun, RunLost, RunRequest, begin
from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers
WHY = ("--reason", "the wrong account", "--as", "ada")


@pytest.fixture
def books(books: SeededDatabase, deployed: Callable[..., None]) -> SeededDatabase:
    deployed(DATABASE_URL=books.url)
    return books


def begun(books: SeededDatabase, realm: str = "live") -> OpenRun:
    wanted = RunRequest(
        kind="backfill",
        realm=Realm(realm),
        actor="cli:bob",
        reason="the first day",
        said={},
        rate=20.0,
    )
    return begin(books.engine, wanted)


@pytest.mark.usefixtures("books")
def test_without_a_run_there_is_none(paidup: Paidup) -> None:
    assert "there is no run" in paidup("runs", "list")
    assert json.loads(paidup("runs", "list", "--json"))["runs"] == []


def test_runs_are_listed_newest_first_with_their_state(
    books: SeededDatabase, paidup: Paidup
) -> None:
    first, second = begun(books), begun(books, "test")
    first.release(books.engine)

    found = json.loads(paidup("runs", "list", "--json"))
    said = paidup("runs", "list")
    shorter = paidup("runs", "list", "--limit", "1")

    assert [(each["id"], each["state"], each["works"]) for each in found["runs"]] == [
        (second.id, "running", True),
        (first.id, "running", False),
    ]
    assert "waits" in said
    assert "the first day" in said
    assert "there are more" in shorter


def test_a_cancelled_run_stops_and_the_audit_says_why(
    books: SeededDatabase, paidup: Paidup
) -> None:
    run = begun(books)

    said = paidup("runs", "cancel", str(run.id), *WHY)

    assert "is cancelled" in said
    assert "cancelled" in paidup("runs", "list")
    with books.engine.begin() as connection, pytest.raises(RunLost):
        run.beat(connection)
    with books.engine.connect() as connection:
        entry = connection.execute(
            sa.select(AuditLog).where(AuditLog.action == "stripe_run.cancelled")
        ).one()
    assert (entry.actor, entry.reason, entry.target_id) == (
        "cli:ada",
        "the wrong account",
        str(run.id),
    )


@pytest.mark.usefixtures("books")
def test_a_run_that_goes_on_no_more_cannot_be_cancelled(paidup: Paidup) -> None:
    paidup("runs", "cancel", "7", *WHY, code=1)

    assert "there is no run 7" in paidup.err


@pytest.mark.parametrize("named", ["seven", "-1", "1" * 19])
@pytest.mark.usefixtures("books")
def test_a_run_is_named_by_its_number(paidup: Paidup, named: str) -> None:
    paidup("runs", "cancel", *WHY, "--", named, code=1)

    assert "is no number of a run" in paidup.err


@pytest.mark.usefixtures("books")
def test_a_reason_is_needed(paidup: Paidup) -> None:
    paidup("runs", "cancel", "7", code=2)

    assert "--reason is missing" in paidup.err
