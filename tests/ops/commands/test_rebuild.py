"""``paidup rebuild``: correct rows for an operator."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from billing.envelope import parse
from ops.terminal.interrupt import Interrupted
from runtime.ledger.maintenance.rebuild import Rebuilder
from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.delivery_builders import contents, event, intent, unbalanced
from tests.runtime.ledger.moves_in_steps import AFTER, PARTY, WAITING, begin_move, end_move

pytestmark = pytest.mark.servers

HISTORY = ("audit_logs", "payment_events", "user_versions")


@pytest.fixture
def books(books: SeededDatabase, deployed: Callable[..., None]) -> SeededDatabase:
    """Two users with money and access."""
    deployed(DATABASE_URL=books.url)
    books.tell("renewal", user="usr_1")
    books.tell("onetime", user="usr_2", seed="t")
    return books


def change(books: SeededDatabase, statement: str) -> None:
    with books.engine.begin() as connection:
        connection.execute(text(statement))


def audited(books: SeededDatabase, action: str) -> list[Any]:
    query = (
        "SELECT actor, outcome, target_type, target_id, reason FROM audit_logs"
        " WHERE action = :action ORDER BY id"
    )
    with books.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), {"action": action})]


@pytest.mark.parametrize("how", [("usr_1", "usr_2"), ("--all",)])
def test_untouched_books_are_found_as_they_should_be(
    books: SeededDatabase, paidup: Paidup, how: tuple[str, ...]
) -> None:
    before = contents(books.engine, without=HISTORY)

    said = paidup("rebuild", *how, "--reason", "a look")

    assert "2 parties recomputed" in said
    assert "nothing differs" in said
    assert contents(books.engine, without=HISTORY) == before
    assert audited(books, "entitlement.changed") == []


def test_a_dry_run_tells_what_the_run_does_and_leaves_no_trace(
    books: SeededDatabase, paidup: Paidup
) -> None:
    before = contents(books.engine, without=HISTORY)
    change(books, "UPDATE user_entitlements SET active = false WHERE user_id = 'usr_1'")
    change(books, "UPDATE payments SET amount_minor = 1")
    altered = contents(books.engine)

    preview = json.loads(paidup("rebuild", "--all", "--dry-run", "--json"))
    assert contents(books.engine) == altered
    done = json.loads(paidup("rebuild", "--all", "--reason", "x", "--json"))

    assert (preview.pop("dry_run"), done.pop("dry_run")) == (True, False)
    assert preview == done
    assert done["grants"] == {"granted": 1, "changed": 0, "revoked": 0}
    assert done["rows"]["user_entitlements"] == 1
    assert {"table", "key", "removed"} == done["changed_rows"][0].keys()
    assert contents(books.engine, without=HISTORY) == before
    assert unbalanced(books.engine) == []


def test_of_one_user_nobody_else_is_touched(books: SeededDatabase, paidup: Paidup) -> None:
    change(books, "UPDATE user_entitlements SET active = false")

    said = paidup("rebuild", "usr_2", "--reason", "x", "--as", "ada")

    (line,) = (line for line in said.splitlines() if line.startswith("usr_2"))
    assert "granted" in line
    assert line.endswith("nothing  lifetime")
    with books.engine.connect() as connection:
        query = "SELECT user_id FROM user_entitlements WHERE active"
        assert connection.scalars(text(query)).all() == ["usr_2"]
    for action in ("rebuild.requested", "rebuild.ended"):
        assert audited(books, action) == [("cli:ada", "done", "user", "usr_2", "x")]


def test_what_an_earlier_release_read_is_read_again_by_hand(
    books: SeededDatabase, paidup: Paidup
) -> None:
    change(books, "UPDATE parties SET reader = 1 WHERE party = (SELECT min(party) FROM parties)")

    status = json.loads(paidup("status", "--json", code=1))
    said = json.loads(paidup("rebuild", "--outdated", "--json"))

    assert status["outdated"] == {"parties": 1, "events": 0}
    assert said == {"read": 1, "left": {"parties": 0, "events": 0}}
    assert "are left" in paidup("rebuild", "--outdated")


def test_whom_an_id_of_stripe_or_an_address_means_is_recomputed_as_by_the_user_s_id(
    books: SeededDatabase, paidup: Paidup
) -> None:
    with books.engine.connect() as connection:
        query = "SELECT stripe_customer_id FROM customers WHERE user_id = 'usr_1'"
        customer_id = str(connection.scalar(text(query)))
    change(books, "UPDATE user_entitlements SET active = false")

    said = [
        paidup("rebuild", each, "--dry-run", "--json")
        for each in ("usr_1", customer_id, "usr_1@example.com")
    ]
    paidup("rebuild", customer_id, "usr_1", "--reason", "x", "--as", "ada")

    assert said[0] == said[1] == said[2]
    assert json.loads(said[0])["grants"]["granted"] == 1
    assert audited(books, "rebuild.ended") == [("cli:ada", "done", "user", "usr_1", "x")]


def test_a_customer_without_a_user_is_recomputed(books: SeededDatabase, paidup: Paidup) -> None:
    paid = intent("pi_9", customer="cus_9")
    books.settle([parse(event("payment_intent.succeeded", paid))])
    change(books, "UPDATE payments SET amount_minor = 1 WHERE payment_ref = 'pi_9'")

    said = json.loads(paidup("rebuild", "cus_9", "--reason", "x", "--as", "ada", "--json"))

    assert said["rows"] == {"payments": 1}
    assert audited(books, "rebuild.ended") == [("cli:ada", "done", "party", "test:cus_9", "x")]


def test_one_party_that_cannot_be_computed_stops_no_other(
    books: SeededDatabase, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(books.engine, without=HISTORY)
    change(books, "UPDATE user_entitlements SET active = false")
    from_facts = Rebuilder.from_facts

    def stumble(rebuilder: Rebuilder, parties: Any) -> Any:
        if len(parties) > 1 or "cus" in parties[0]:
            raise KeyError("x")
        return from_facts(rebuilder, parties)

    with monkeypatch.context() as patched:
        patched.setattr(Rebuilder, "from_facts", stumble)
        said = paidup("rebuild", "--all", "--reason", "x", code=1)

    assert "failed" in said
    assert "KeyError: 'x'" in said
    paidup("rebuild", "--all", "--reason", "again")
    assert contents(books.engine, without=HISTORY) == before


@pytest.mark.parametrize("how", [("--all",), ("usr_1",)])
def test_interrupted_it_says_what_to_do(
    books: SeededDatabase, paidup: Paidup, monkeypatch: pytest.MonkeyPatch, how: tuple[str, ...]
) -> None:
    class InterruptedAtOnce:
        def pause(self, _seconds: float) -> None:
            raise Interrupted

    monkeypatch.setattr("ops.rebuild.run.Interruption", InterruptedAtOnce)

    assert "interrupted: the same command" in paidup("rebuild", *how, "--reason", "x", code=1)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "name users, or give --all"),
        (("usr_1", "--all"), 2, "name users, or give --all"),
        (("usr_1",), 2, "--reason is missing"),
        (("usr_1", "usr_never", "--dry-run"), 1, "a name; nothing was changed"),
        (("usr\x00x", "--dry-run"), 1, "no event names"),
    ],
)
def test_wrong_use_is_one_sentence(
    books: SeededDatabase, paidup: Paidup, arguments: tuple[str, ...], code: int, says: str
) -> None:
    before = contents(books.engine)

    paidup("rebuild", *arguments, code=code)

    assert says in paidup.err
    assert contents(books.engine) == before


def test_without_a_server_it_says_so(deployed: Callable[..., None], paidup: Paidup) -> None:
    deployed(DATABASE_URL="postgresql://nobody@127.0.0.1:1/nowhere")

    paidup("rebuild", "--all", "--dry-run", code=1)

    assert "PostgreSQL is unreachable" in paidup.err


def test_a_dry_run_says_of_what_differs_that_it_is_being_updated_in_steps(
    books: SeededDatabase, paidup: Paidup
) -> None:
    begin_move(books.engine)

    said = paidup("rebuild", "--all", "--dry-run")
    document = json.loads(paidup("rebuild", "--all", "--dry-run", "--json"))

    assert "1 party was being updated in steps, hence the differences" in said
    assert "the archives of" not in said
    assert (document["updating"], document["archives"]) == ([PARTY], [])
    assert document["grants"]["granted"] > 0
    end_move(books.engine)
    assert "updated in steps" not in paidup("rebuild", "--all", "--dry-run")


def test_a_rebuild_ends_the_updates_of_its_parties_at_once(
    books: SeededDatabase, paidup: Paidup
) -> None:
    begin_move(books.engine)

    said = paidup("rebuild", AFTER, "--reason", "at once")

    assert "1 party was being updated in steps, which is done now" in said
    with books.engine.connect() as connection:
        assert list(connection.scalars(text(WAITING))) == [0]
    found = json.loads(paidup("rebuild", "--all", "--dry-run", "--json"))
    assert (found["rows"], found["archives"], found["updating"]) == ({}, [], [])
