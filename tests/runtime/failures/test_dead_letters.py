import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from billing.envelope import parse
from models.tables import AuditLog, DeadLetter, SearchTerm
from runtime.database.engine import engine_for
from runtime.failures import dead_letters
from runtime.failures.dead_letters import DeadLetterDraft, count_open, dead_letter, discard

pytestmark = pytest.mark.servers

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    yield engine
    engine.dispose()


def draft(key: str = "evt_1", **changes: Any) -> DeadLetterDraft:
    values: dict[str, Any] = {
        "key": key,
        "event_type": "customer.created",
        "body": b'{"id": "evt_1"}',
        "error_type": "UnreadableEvent",
        "error": "no id",
        "attempts": 1,
        "origin": "stripe",
        "received_at": NOON,
        "first_failed_at": NOON,
        "failed_at": NOON,
    }
    return DeadLetterDraft(**{**values, **changes})


def letter(engine: Engine, key: str = "evt_1") -> Any:
    with engine.connect() as connection:
        return connection.execute(
            sa.select(DeadLetter.__table__).where(DeadLetter.event_id == key)
        ).one()


def test_a_dead_letter_holds_the_exact_body_and_is_audited(engine: Engine) -> None:
    dead_letter(engine, [draft(body='{"id":  "evt_1", "ü": 1}'.encode())])

    row = letter(engine)
    assert (row.payload, row.state, row.error_type) == (
        '{"id":  "evt_1", "ü": 1}',
        "open",
        "UnreadableEvent",
    )
    with engine.connect() as connection:
        audit = connection.execute(sa.select(AuditLog.__table__)).one()
    assert (audit.action, audit.event_id, audit.reason) == (
        "dead_letter.buried",
        "evt_1",
        "no id",
    )
    assert count_open(engine) == 1


def test_any_body_and_any_error_can_be_written(engine: Engine) -> None:
    dead_letter(engine, [draft(body=b"\xff\x00{", error="NUL \x00 and \ud800")])

    assert letter(engine).payload == "\ufffd\ufffd{"
    assert letter(engine).error == "NUL \ufffd and \ufffd"


def test_a_second_failure_keeps_the_first_in_the_history(engine: Engine) -> None:
    later = NOON + timedelta(hours=1)
    dead_letter(engine, [draft()])

    dead_letter(engine, [draft(error_type="KeyError", error="'x'", attempts=5, failed_at=later)])

    row = letter(engine)
    assert (row.error_type, row.attempts, row.first_failed_at, row.last_failed_at) == (
        "KeyError",
        5,
        NOON,
        later,
    )
    assert [(old["error_type"], old["attempts"]) for old in row.history] == [("UnreadableEvent", 1)]


@pytest.mark.parametrize("state", ["open", "discarded", "replayed"])
def test_a_conflict_gets_a_dead_letter_of_its_own(engine: Engine, state: str) -> None:
    first, second = _event("invoice.paid"), _event("customer.deleted")
    dead_letter(engine, [draft(body=first)])
    with engine.begin() as connection:
        connection.execute(sa.update(DeadLetter).values(state=state))

    dead_letter(engine, [draft(body=second, error_type="crash_loop")])
    dead_letter(engine, [draft(body=b"\xff")])

    apart = f"evt_1#{parse(second).fingerprint}"
    assert letter(engine).payload == first.decode()
    assert letter(engine).state == state
    assert (letter(engine, apart).payload, letter(engine, apart).error_type) == (
        second.decode(),
        "crash_loop",
    )
    assert letter(engine, "evt_1#malformed").payload == "\ufffd"


def test_the_same_event_in_another_shape_has_the_same_dead_letter(engine: Engine) -> None:
    older = _event("invoice.paid", api_version="2014-11-20")
    dead_letter(engine, [draft(body=_event("invoice.paid"))])
    dead_letter(engine, [draft(body=older)])

    assert letter(engine).payload == older.decode()
    assert count_open(engine) == 1


def _event(kind: str, **more: str) -> bytes:
    stated = {"object": {"id": "in_1", "object": "invoice"}}
    event = {"id": "evt_1", "type": kind, "created": 1763726400, "data": stated}
    return json.dumps({**event, **more}).encode()


def test_the_history_does_not_grow_without_end(engine: Engine) -> None:
    for attempt in range(53):
        dead_letter(engine, [draft(attempts=attempt)])

    assert [old["attempts"] for old in letter(engine).history] == list(range(2, 52))


def test_a_discarded_dead_letter_stays_discarded_and_a_replayed_one_opens_again(
    engine: Engine,
) -> None:
    dead_letter(engine, [draft("evt_1"), draft("evt_2")])
    with engine.begin() as connection:
        for key, state in (("evt_1", "discarded"), ("evt_2", "replayed")):
            connection.execute(
                sa.update(DeadLetter)
                .where(DeadLetter.event_id == key)
                .values(state=state, resolved_by="ada", reason="known", resolved_at=NOON)
            )

    dead_letter(engine, [draft("evt_1"), draft("evt_2")])

    assert (letter(engine, "evt_1").state, letter(engine, "evt_1").reason) == ("discarded", "known")
    assert (letter(engine, "evt_2").state, letter(engine, "evt_2").reason) == ("open", None)
    assert letter(engine, "evt_2").history[0]["resolved_by"] == "ada"
    assert count_open(engine) == 1


def test_a_discarded_dead_letter_whose_replay_fails_is_open_again(engine: Engine) -> None:
    dead_letter(engine, [draft()])
    discard(engine, ["evt_1"], actor="cli:ada", reason="a test event")
    discarded_at = letter(engine).resolved_at

    dead_letter(engine, [draft(origin="replay", undoes_discard=discarded_at)])

    row = letter(engine)
    assert (row.state, row.resolved_by, row.reason) == ("open", None, None)
    assert (row.history[0]["state"], row.history[0]["resolved_by"]) == ("discarded", "cli:ada")


def test_a_replay_that_was_asked_for_before_the_discard_does_not_open_it(engine: Engine) -> None:
    dead_letter(engine, [draft()])
    discard(engine, ["evt_1"], actor="cli:ada", reason="a test event")

    dead_letter(engine, [draft(origin="replay")])
    dead_letter(engine, [draft(origin="replay", undoes_discard=NOON)])

    assert (letter(engine).state, letter(engine).resolved_by) == ("discarded", "cli:ada")


def test_only_open_dead_letters_are_discarded_each_with_its_audit(engine: Engine) -> None:
    dead_letter(engine, [draft("evt_1"), draft("evt_1#abcd")])

    first = discard(engine, ["evt_1#abcd", "evt_unknown"], actor="cli:ada", reason="a test event")
    second = discard(engine, ["evt_1#abcd"], actor="cli:bob", reason="again")

    assert [(each.key, each.discarded, each.resolved_by) for each in (*first, *second)] == [
        ("evt_1#abcd", True, "cli:ada"),
        ("evt_1#abcd", False, "cli:ada"),
    ]
    row = letter(engine, "evt_1#abcd")
    assert (row.state, row.resolved_by, row.reason) == ("discarded", "cli:ada", "a test event")
    assert letter(engine).state == "open"
    with engine.connect() as connection:
        audited = sa.select(AuditLog.actor, AuditLog.target_id, AuditLog.event_id, AuditLog.reason)
        (entry,) = connection.execute(audited.where(AuditLog.action == "dead_letter.discarded"))
    assert tuple(entry) == ("cli:ada", "evt_1#abcd", "evt_1", "a test event")


def terms(engine: Engine) -> list[tuple[str, ...]]:
    query = sa.select(SearchTerm.kind, SearchTerm.term, SearchTerm.party)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query.order_by(*query.selected_columns))]


def test_what_the_event_names_leads_to_the_dead_letter_however_often_it_fails(
    engine: Engine,
) -> None:
    stated = {"id": "in_1Ab", "customer_email": "Ada@Example.com", "customer": "cus_1", "x": "y"}
    stated["metadata"] = {"user_id": "Usr_1", "note": "z" * 600, "order": "No 7"}  # type: ignore[assignment]
    stated["customer_name"] = "Ada Lovelace"
    event = {"id": "evt_1", "type": "x.y", "created": 1, "data": {"object": stated}}
    one = draft(body=json.dumps(event).encode())

    dead_letter(engine, [one])
    dead_letter(engine, [one])

    assert terms(engine) == [
        ("email", "ada@example.com", "evt_1"),
        ("id", "cus_1", "evt_1"),
        ("id", "in_1ab", "evt_1"),
        ("metadata", "no 7", "evt_1"),
        ("name", "ada lovelace", "evt_1"),
        ("user", "usr_1", "evt_1"),
    ]


@pytest.mark.parametrize("body", [b"\xff", b"[]", b'{"id": "evt_1"}'])
def test_a_body_that_is_no_event_is_a_dead_letter_without_terms(
    engine: Engine, body: bytes
) -> None:
    dead_letter(engine, [draft(body=body)])

    assert letter(engine).state == "open"
    assert terms(engine) == []


def test_a_term_too_long_for_an_index_is_left_out(engine: Engine) -> None:
    stated = {"metadata": {"user_id": "\U0001f600" * 600}}
    event = {"id": "evt_1", "type": "x.y", "created": 1, "data": {"object": stated}}

    dead_letter(engine, [draft(body=json.dumps(event).encode())])

    assert letter(engine).state == "open"
    assert terms(engine) == []


def test_search_terms_that_cannot_be_written_keep_no_dead_letter_out(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE search_terms RENAME COLUMN term TO word"))
    event = {"id": "evt_1", "type": "x.y", "created": 1, "data": {"object": {"id": "in_1"}}}
    body = json.dumps(event).encode()

    dead_letter(engine, [draft(body=body), draft("evt_2", body=body)])

    assert count_open(engine) == 2


def test_more_dead_letters_are_discarded_than_a_statement_takes_parameters(engine: Engine) -> None:
    dead_letter(engine, [draft("evt_7")])

    found = discard(engine, [f"evt_{n}" for n in range(70_000)], actor="ada", reason="tests")

    assert [(each.key, each.discarded) for each in found] == [("evt_7", True)]


def test_each_portion_of_a_long_discard_is_a_transaction_of_its_own(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "_DISCARDED_AT_ONCE", 2)
    keys = [f"evt_{n}" for n in range(5)]
    dead_letter(engine, [draft(key) for key in keys])

    found = discard(engine, [*reversed(keys), "evt_0"], actor="ada", reason="tests")

    assert [each.key for each in found if each.discarded] == keys
    with engine.connect() as connection:
        query = sa.text("SELECT count(*) FROM dead_letters GROUP BY xmin::text ORDER BY 1")
        assert list(connection.scalars(query)) == [1, 2, 2]
