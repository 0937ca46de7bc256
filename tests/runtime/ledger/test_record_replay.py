"""A settled event once more: what today's readers read replaces what it stated."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from billing.fact_codec import fact_from_json, fact_to_json
from billing.facts import CustomerFields, Fact
from billing.readers.registry import Reading, read_event
from runtime.ledger import prepare
from runtime.ledger.deliveries import Delivery
from runtime.ledger.record import Ledger
from tests.runtime.ledger.delivery_builders import (
    NOW,
    checkout,
    contents,
    customer,
    delivery,
    event,
    intent,
    outcomes,
    rows,
)

pytestmark = pytest.mark.servers


def replayed(body: bytes) -> Delivery:
    return delivery(body, origin="replay", actor="ada", reason="a reader was mended")


def test_equal_facts_are_already_applied(ledger: Ledger, engine: Engine) -> None:
    body = event("checkout.session.completed", checkout("cs_1"))
    (first,) = ledger.record([delivery(body)])
    before = contents(engine, without=["audit_logs"])

    (again,) = ledger.record([replayed(body)])

    assert (again.outcome, again.reason, again.hit) == ("applied", "already applied", False)
    assert (again.settlement, again.applied_at) == (first.settlement, first.applied_at)
    assert contents(engine, without=["audit_logs"]) == before


def test_every_replay_leaves_its_outcome_in_the_audit(ledger: Ledger, engine: Engine) -> None:
    older, newer = (
        event("customer.updated", customer("cus_1", "usr_1"), at=NOW - ago) for ago in (60, 0)
    )
    ledger.record([delivery(newer)])

    ledger.record([replayed(newer)])
    ledger.record([replayed(older)])

    audited = "SELECT actor, origin, reason, after FROM audit_logs WHERE action = 'replay.settled'"
    superseded = f"superseded by {replayed(newer).key}"
    assert rows(engine, f"{audited} ORDER BY id") == [
        (
            "ada",
            "replay",
            "a reader was mended",
            {"outcome": "applied", "reason": "already applied"},
        ),
        ("ada", "replay", "a reader was mended", {"outcome": "superseded", "reason": superseded}),
    ]


def test_an_ignored_event_that_comes_too_late_once_it_can_be_read_says_for_which(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = (
        event("customer.updated", customer("cus_1", "usr_1"), at=NOW - ago) for ago in (60, 0)
    )
    with monkeypatch.context() as old:
        old.setattr(prepare, "read_event", _nothing)
        ledger.record([delivery(older)])
    ledger.record([delivery(newer)])

    (again,) = ledger.record([replayed(older)])

    reason = f"superseded by {replayed(newer).key}"
    assert (again.outcome, again.reason) == ("superseded", reason)
    query = "SELECT outcome, reason FROM stripe_events ORDER BY created_at LIMIT 1"
    assert rows(engine, query) == [("superseded", reason)]


def test_a_superseded_event_stays_superseded_however_often_it_is_replayed(
    ledger: Ledger, engine: Engine
) -> None:
    older, newer = (
        event("customer.updated", customer("cus_1", "usr_1"), at=NOW - ago) for ago in (60, 0)
    )
    ledger.record([delivery(newer), delivery(older)])

    (again,) = ledger.record([replayed(older)])

    assert (again.outcome, again.reason) == ("superseded", "already applied")
    query = "SELECT reason FROM stripe_events ORDER BY created_at LIMIT 1"
    assert rows(engine, query) == [f"superseded by {replayed(newer).key}"]


def test_what_an_old_reader_misread_is_put_right(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = event("customer.updated", customer("cus_1", "usr_right"))
    with monkeypatch.context() as old:
        old.setattr(prepare, "read_event", _reading_with(_misread))
        ledger.record([delivery(body)])
    assert rows(engine, "SELECT user_id FROM customers") == ["usr_wrong"]

    (again,) = ledger.record([replayed(body)])

    assert (again.outcome, again.reason) == ("applied", None)
    assert rows(engine, "SELECT user_id FROM customers") == ["usr_right"]
    audited = "SELECT actor, origin, reason FROM audit_logs WHERE action = 'customer.moved'"
    assert rows(engine, audited) == [("ada", "replay", "a reader was mended")]
    assert rows(engine, "SELECT count(*) FROM facts") == [1]
    assert rows(engine, "SELECT count(*) FROM stripe_events") == [1]


def test_an_event_that_says_nothing_any_more_takes_back_what_it_said(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = event("checkout.session.completed", checkout("cs_1"))
    ledger.record([delivery(body)])
    monkeypatch.setattr(prepare, "read_event", _nothing)

    (again,) = ledger.record([replayed(body)])

    assert (again.outcome, again.reason) == ("ignored", "nothing_stated")
    assert rows(engine, "SELECT count(*) FROM facts") == [0]
    assert rows(engine, "SELECT count(*) FROM user_entitlements WHERE active") == [0]
    query = "SELECT outcome, reason FROM stripe_events"
    assert rows(engine, query) == [("ignored", "nothing_stated")]


def test_an_event_that_was_ignored_is_applied_once_it_can_be_read(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = event("checkout.session.completed", checkout("cs_1"))
    with monkeypatch.context() as old:
        old.setattr(prepare, "read_event", _nothing)
        (first,) = ledger.record([delivery(body)])
    assert (first.outcome, first.changes) == ("ignored", {})

    (again,) = ledger.record([replayed(body)])

    assert (again.outcome, again.reason, again.changes) == ("applied", None, {"granted": 1})
    assert again.applied_at > first.applied_at
    query = "SELECT outcome, reason, applied_at FROM stripe_events"
    assert rows(engine, query) == [("applied", None, again.applied_at)]


def test_a_redelivery_of_a_replayed_event_is_a_hit(ledger: Ledger) -> None:
    body = event("checkout.session.completed", checkout("cs_1"))
    ledger.record([replayed(body)])

    settled = ledger.record([delivery(body), replayed(body)])

    assert [each.hit for each in settled] == [True, True]


def test_facts_that_moved_to_another_object_leave_the_first(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = event("payment_intent.succeeded", intent("pi_1"))
    with monkeypatch.context() as old:
        old.setattr(prepare, "read_event", _reading_with(_of_another_object))
        ledger.record([delivery(body)])
    assert rows(engine, "SELECT payment_ref FROM payments") == ["pi_other"]

    ledger.record([replayed(body)])

    assert rows(engine, "SELECT payment_ref FROM payments") == ["pi_1"]
    assert rows(engine, "SELECT object_key FROM facts") == ["test:pi_1"]


@pytest.mark.parametrize(
    ("listed", "facts", "active"),
    [(frozenset({"acct_1"}), ["test/acct_1:cs_1"], ["test/acct_1"]), (frozenset[str](), [], [])],
)
def test_an_event_that_counted_before_contexts_were_read_moves_to_its_account_or_is_dropped(
    ledger: Ledger, engine: Engine, listed: frozenset[str], facts: list[str], active: list[str]
) -> None:
    body = event("checkout.session.completed", checkout("cs_1"), context="acct_1")
    given = delivery(body)
    ledger.record([replace(given, envelope=replace(given.envelope, account=None))])
    assert rows(engine, "SELECT object_key FROM facts") == ["test:cs_1"]

    Ledger(engine, livemode="any", accounts=listed).record([replayed(body)])

    assert rows(engine, "SELECT object_key FROM facts") == facts
    assert rows(engine, "SELECT realm FROM user_entitlements WHERE active") == active


def test_a_preview_of_a_replay_tells_the_difference_and_makes_none(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = event("customer.updated", customer("cus_1", "usr_right"))
    with monkeypatch.context() as old:
        old.setattr(prepare, "read_event", _reading_with(_misread))
        ledger.record([delivery(body)])
    before = contents(engine)

    (preview,) = ledger.preview([replayed(body)])

    assert preview.decisions
    assert contents(engine) == before


def test_stored_facts_without_a_replay_are_left_as_they_are(ledger: Ledger, engine: Engine) -> None:
    one, other = (event("customer.updated", customer("cus_1", "usr_1")) for _ in range(2))
    ledger.record([delivery(one), delivery(other)])
    with engine.begin() as connection:
        connection.execute(text("UPDATE facts SET fact = jsonb_set(fact, '{customer_id}', 'null')"))

    settled = ledger.record([replayed(one)])

    assert outcomes(settled) != [("applied", "already applied")]
    query = "SELECT count(*) FROM facts WHERE fact->>'customer_id' IS NULL"
    assert rows(engine, query) == [1]


def _reading_with(change: Callable[[Fact], Fact]) -> Callable[..., Reading]:
    def changed(envelope: Any, _: object = None) -> Reading:
        reading = read_event(envelope)
        return replace(reading, facts=tuple(map(change, reading.facts)))

    return changed


def _misread(fact: Fact) -> Fact:
    return replace(fact, fields=CustomerFields(metadata=(("user_id", "usr_wrong"),), deleted=False))


def _of_another_object(fact: Fact) -> Fact:
    return fact_from_json(json.loads(json.dumps(fact_to_json(fact)).replace("pi_1", "pi_other")))


def _nothing(envelope: Any, _: object = None) -> Reading:
    stated = read_event(replace(envelope, type="unheard.of"))
    return replace(stated, ignored=type(stated.ignored)("nothing_stated"))  # type: ignore[misc]
