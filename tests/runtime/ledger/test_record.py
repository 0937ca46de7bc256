"""One event changes every table it concerns; the same event again changes none."""

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from billing.envelope import Envelope
from billing.errors import UnreadableEvent
from billing.readers.registry import Reading
from runtime import schema
from runtime.ledger import prepare
from runtime.ledger.errors import CatalogueMissing, IdentityConflict, SchemaOutdated
from runtime.ledger.record import Ledger
from tests.runtime.ledger.conftest import ledger_on
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


def test_a_paid_checkout_alone_leaves_entitlement_payment_and_proof(
    ledger: Ledger, engine: Engine
) -> None:
    body = event("checkout.session.completed", checkout("cs_1"))

    (settled,) = ledger.record([delivery(body)])

    assert (settled.outcome, settled.reason, settled.hit) == ("applied", None, False)
    assert settled.changes == {"granted": 1}
    assert rows(engine, "SELECT user_id, source, plan_code, entitlements, active FROM"
                " user_entitlements") == [
        ("usr_123", "pi_of_cs_1", "premium", {"signals_enabled": True, "max_devices": 5}, True)
    ]  # fmt: skip
    assert rows(engine, "SELECT payment_ref, amount_minor, status FROM payments") == [
        ("pi_of_cs_1", 2999, "succeeded")
    ]
    assert rows(engine, "SELECT kind, amount_minor, user_id, event_id FROM payment_events") == [
        ("received", 2999, "usr_123", settled.event_id)
    ]
    audited = rows(
        engine, "SELECT action, actor, origin FROM audit_logs WHERE event_id IS NOT NULL"
    )
    assert ("entitlement.granted", "stripe", "stripe") in audited
    assert ("payment.received", "stripe", "stripe") in audited


def test_the_exact_body_is_kept(ledger: Ledger, engine: Engine) -> None:
    stated = customer("cus_1") | {"name": "\ud800 lone, \x00 zero, \u00fc, \U0001f600"}
    body = event("customer.updated", stated)

    ledger.record([delivery(body)])

    query = "SELECT payload, payload_sha256 FROM stripe_events"
    assert rows(engine, query) == [(body.decode(), sha256(body).hexdigest())]


def test_what_no_column_can_hold_is_replaced_on_its_way(ledger: Ledger, engine: Engine) -> None:
    ledger.record([delivery(event("customer.updated", customer("cus_1", "usr_\x00\ud800")))])

    assert rows(engine, "SELECT user_id FROM customers") == ["usr_\ufffd\ufffd"]


def test_the_same_event_again_is_a_hit_with_the_first_result(
    ledger: Ledger, engine: Engine
) -> None:
    first = delivery(event("checkout.session.completed", checkout("cs_1")))
    (settled,) = ledger.record([first])
    before = contents(engine)

    (again,) = ledger.record([replace(first, attempts=7)])

    assert again == replace(settled, hit=True, changes={})
    assert contents(engine) == before


def test_one_event_twice_in_a_batch_is_settled_once(ledger: Ledger) -> None:
    body = event("checkout.session.completed", checkout("cs_1"))

    settled = ledger.record([delivery(body), delivery(body), delivery(body)])

    assert [each.hit for each in settled] == [False, True, True]
    assert {each.settlement for each in settled} == {settled[0].settlement}


def test_another_api_version_of_an_event_is_the_same_event(ledger: Ledger) -> None:
    body = event("customer.updated", customer("cus_1"), id="evt_1")
    older = event("customer.updated", customer("cus_1"), id="evt_1", api_version="2014-11-20")

    assert [each.hit for each in ledger.record([delivery(body), delivery(older)])] == [False, True]


@pytest.mark.parametrize("together", [True, False])
def test_another_event_under_a_settled_id_is_refused_and_the_first_stands(
    ledger: Ledger, engine: Engine, *, together: bool
) -> None:
    first = delivery(event("customer.updated", customer("cus_1", "usr_1"), id="evt_1"))
    second = delivery(event("customer.updated", customer("cus_2", "usr_2"), id="evt_1"))
    if not together:
        ledger.record([first])

    with pytest.raises(IdentityConflict, match="evt_1"):
        ledger.record([first, second] if together else [second])

    assert rows(engine, "SELECT count(*) FROM stripe_events") == [0 if together else 1]


def test_an_event_that_cannot_be_read_stops_the_batch_and_names_itself(
    ledger: Ledger, engine: Engine
) -> None:
    good = delivery(event("customer.updated", customer("cus_1", "usr_1")))
    bad = delivery(event("customer.updated", customer("cus_\n"), id="evt_bad"))

    with pytest.raises(UnreadableEvent, match="evt_bad"):
        ledger.record([good, bad])

    assert rows(engine, "SELECT count(*) FROM stripe_events") == [0]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"livemode": True}, "wrong_mode"),
        ({"account": "acct_stranger"}, "unknown_account"),
        ({"context": "acct_stranger"}, "unknown_account"),
        ({"context": "acct_ours/acct_stranger"}, "unknown_account"),
        ({"context": "acct_ours/wksp_1"}, "unknown_context"),
        ({"context": "org_1"}, "unknown_context"),
        ({"context": {"account": "acct_ours"}}, "unknown_context"),
        ({"account": "acct_ours", "context": "acct_stranger"}, "unknown_context"),
        ({"type": "terminal.reader.action_succeeded"}, "unknown_type"),
    ],
)
def test_what_does_not_count_is_recorded_and_grants_nothing(
    engine: Engine, given: dict[str, Any], reason: str
) -> None:
    ledger = Ledger(engine, livemode="test", accounts=frozenset({"acct_ours"}))
    body = event("checkout.session.completed", checkout("cs_1"), **given)

    (settled,) = ledger.record([delivery(body)])

    assert (settled.outcome, settled.reason) == ("ignored", reason)
    assert rows(engine, "SELECT outcome, reason FROM stripe_events") == [("ignored", reason)]
    assert rows(engine, "SELECT count(*) FROM user_entitlements") == [0]
    assert rows(engine, "SELECT count(*) FROM facts") == [0]


@pytest.mark.parametrize(
    "given",
    [
        {"account": "acct_ours"},
        {"context": "acct_ours"},
        {"context": "acct_platform/acct_ours"},
        {"account": "acct_ours", "context": "acct_platform/acct_ours"},
    ],
)
def test_a_listed_account_counts_in_a_realm_of_its_own(
    engine: Engine, given: dict[str, Any]
) -> None:
    ledger = Ledger(engine, livemode="test", accounts=frozenset({"acct_ours"}))
    body = event("customer.updated", customer("cus_1", "usr_1"), **given)

    ledger.record([delivery(body)])

    assert rows(engine, "SELECT realm, user_id FROM customers") == [("test/acct_ours", "usr_1")]


def test_a_late_event_that_changes_nothing_is_superseded(ledger: Ledger, engine: Engine) -> None:
    newer = event("customer.updated", customer("cus_1", "usr_1"), at=NOW)
    older = event("customer.updated", customer("cus_1", "usr_1"), at=NOW - 60)

    settled = ledger.record([delivery(newer), delivery(older)])

    reason = f"superseded by {settled[0].event_id}"
    assert outcomes(settled) == [("applied", None), ("superseded", reason)]
    query = "SELECT outcome FROM stripe_events ORDER BY created_at"
    assert rows(engine, query) == ["superseded", "applied"]


def test_a_newest_event_that_changes_nothing_is_applied(ledger: Ledger) -> None:
    older = event("customer.updated", customer("cus_1", "usr_1"), at=NOW - 60)
    newer = event("customer.updated", customer("cus_1", "usr_1"), at=NOW)

    assert outcomes(ledger.record([delivery(older), delivery(newer)])) == [
        ("applied", None),
        ("applied", None),
    ]


def test_settlements_are_numbered_upwards(ledger: Ledger) -> None:
    first = ledger.record([delivery(event("customer.updated", customer("cus_1")))])
    second = ledger.record([delivery(event("customer.updated", customer("cus_1")))])

    assert first[0].settlement < second[0].settlement


def test_nothing_at_all_is_no_mistake(ledger: Ledger) -> None:
    assert ledger.record([]) == []


def test_without_plans_nothing_is_settled(empty_engine: Engine) -> None:
    body = event("checkout.session.completed", checkout("cs_1"))

    with pytest.raises(CatalogueMissing, match="paidup migrate"):
        ledger_on(empty_engine).record([delivery(body)])

    assert rows(empty_engine, "SELECT count(*) FROM stripe_events") == [0]


def test_another_schema_is_left_alone(ledger: Ledger, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE schema_release SET oldest_release = '99.0.0'"))

    with pytest.raises(SchemaOutdated, match="needs Paidup 99"):
        ledger.record([delivery(event("customer.updated", customer("cus_1")))])


def test_no_schema_at_all_is_said_in_the_same_way(ledger: Ledger, engine: Engine) -> None:
    schema.downgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))

    with pytest.raises(SchemaOutdated, match="paidup migrate"):
        ledger.record([delivery(event("customer.updated", customer("cus_1")))])

    schema.upgrade(engine)  # the fixture looks at the payments


def test_an_unreadable_event_that_was_settled_before_is_a_hit(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep a settled event settled when readers become stricter."""
    body = delivery(event("customer.updated", customer("cus_1", "usr_1")))
    ledger.record([body])

    def refuse(envelope: Envelope, _: object = None) -> Reading:
        raise UnreadableEvent(envelope.event_id, "id")

    monkeypatch.setattr(prepare, "read_event", refuse)

    assert [each.hit for each in ledger.record([body])] == [True]


def test_a_database_that_refuses_is_no_other_schema(ledger: Ledger, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE alembic_version RENAME version_num TO hidden"))

    with pytest.raises(ProgrammingError, match="version_num"):
        ledger.record([delivery(event("customer.updated", customer("cus_1")))])


class TestDeadLetters:
    @pytest.fixture
    def letter(self, engine: Engine) -> bytes:
        body = event("checkout.session.completed", checkout("cs_1"), id="evt_dead")
        with engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO dead_letters (event_id, payload, error_type, error, attempts,"
                    " first_failed_at, last_failed_at)"
                    " VALUES ('evt_dead', :payload, 'Boom', 'boom', 3, now(), now())"
                ),
                {"payload": body.decode()},
            )
        return body

    def test_a_redelivery_that_applies_resolves_the_dead_letter(
        self, ledger: Ledger, engine: Engine, letter: bytes
    ) -> None:
        (settled,) = ledger.record([delivery(letter)])

        assert settled.outcome == "applied"
        query = "SELECT state, resolved_by FROM dead_letters"
        assert rows(engine, query) == [("replayed", "stripe")]
        assert "dead_letter.replayed" in rows(engine, "SELECT action FROM audit_logs")

    def test_a_discarded_event_stays_discarded_until_it_is_replayed(
        self, ledger: Ledger, engine: Engine, letter: bytes
    ) -> None:
        with engine.begin() as connection:
            connection.execute(text("UPDATE dead_letters SET state = 'discarded'"))

        (redelivered,) = ledger.record([delivery(letter)])
        assert (redelivered.outcome, redelivered.reason) == ("ignored", "discarded")
        assert rows(engine, "SELECT state FROM dead_letters") == ["discarded"]

        (replayed,) = ledger.record([delivery(letter, origin="replay", actor="ada")])
        assert (replayed.outcome, replayed.reason) == ("applied", None)
        assert rows(engine, "SELECT state, resolved_by FROM dead_letters") == [("replayed", "ada")]
        assert rows(engine, "SELECT count(*) FROM user_entitlements WHERE active") == [1]

    @pytest.mark.usefixtures("letter")
    @pytest.mark.parametrize("state", ["open", "discarded"])
    def test_a_conflict_with_a_dead_letter_is_refused_and_the_dead_letter_stands(
        self, ledger: Ledger, engine: Engine, state: str
    ) -> None:
        self._set_state(engine, state)
        another = event("customer.updated", customer("cus_2", "usr_2"), id="evt_dead")

        with pytest.raises(IdentityConflict, match="evt_dead"):
            ledger.record([delivery(another)])

        assert rows(engine, "SELECT state FROM dead_letters") == [state]
        assert rows(engine, "SELECT count(*) FROM stripe_events") == [0]

    @pytest.mark.parametrize(("state", "taken"), [("open", False), ("discarded", True)])
    def test_another_event_may_be_replayed_once_the_first_is_discarded(
        self, ledger: Ledger, engine: Engine, letter: bytes, state: str, *, taken: bool
    ) -> None:
        self._set_state(engine, state)
        another = event("customer.updated", customer("cus_2", "usr_2"), id="evt_dead")
        replayed = delivery(another, key="evt_dead#abcd", origin="replay", actor="ada")

        if taken:
            assert ledger.record([replayed])[0].outcome == "applied"
            assert ledger.record([delivery(another)])[0].hit
            with pytest.raises(IdentityConflict):
                ledger.record([delivery(letter, origin="replay", actor="ada")])
        else:
            with pytest.raises(IdentityConflict):
                ledger.record([replayed])

        assert rows(engine, "SELECT state FROM dead_letters") == [state]

    def test_a_dead_letter_that_is_no_event_is_resolved_by_the_event_itself(
        self, ledger: Ledger, engine: Engine, letter: bytes
    ) -> None:
        with engine.begin() as connection:
            connection.execute(text("UPDATE dead_letters SET payload = '\ufffd'"))

        ledger.record([delivery(letter)])

        assert rows(engine, "SELECT state FROM dead_letters") == ["replayed"]

    def _set_state(self, engine: Engine, state: str) -> None:
        with engine.begin() as connection:
            connection.execute(text("UPDATE dead_letters SET state = :state"), {"state": state})


class TestPreview:
    def test_it_tells_what_would_be_and_leaves_no_trace(
        self, ledger: Ledger, engine: Engine
    ) -> None:
        before = contents(engine)
        body = event("checkout.session.completed", checkout("cs_1"))

        (preview,) = ledger.preview([delivery(body)])

        assert preview.outcome == "applied"
        assert "EntitlementGranted" in {type(each).__name__ for each in preview.decisions}
        assert contents(engine) == before

    def test_recording_does_what_its_preview_showed(self, ledger: Ledger) -> None:
        batch = [
            delivery(event("checkout.session.completed", checkout("cs_1"))),
            delivery(event("payment_intent.succeeded", intent("pi_of_cs_1"))),
        ]
        preview = ledger.preview(batch)

        settled = ledger.record(batch)

        assert outcomes(settled) == outcomes(preview)


def test_history_tells_of_money_that_found_its_own_name(ledger: Ledger, engine: Engine) -> None:
    """Book money of an invoice as received once, and move it when its payment is known."""
    invoice = {
        "id": "in_1",
        "object": "invoice",
        "status": "paid",
        "customer": "cus_1",
        "amount_paid": 2999,
        "currency": "usd",
        "lines": {"data": []},
    }
    paid_by = {
        "id": "inpay_1",
        "object": "invoice_payment",
        "invoice": "in_1",
        "status": "paid",
        "amount_paid": 2999,
        "currency": "usd",
        "payment": {"type": "payment_intent", "payment_intent": "pi_1"},
    }
    ledger.record([delivery(event("invoice.paid", invoice))])
    ledger.record([delivery(event("payment_intent.succeeded", intent("pi_1", customer="cus_1")))])
    ledger.record([delivery(event("invoice_payment.paid", paid_by))])

    assert rows(engine, "SELECT payment_ref, amount_minor FROM payments") == [("pi_1", 2999)]
    assert rows(engine, "SELECT sum(amount_minor) FROM payment_events") == [2999]
    query = "SELECT sum(amount_minor) FROM payment_events WHERE kind = 'received'"
    assert rows(engine, query) == [2999]


def test_audit_rows_show_before_and_after(ledger: Ledger, engine: Engine) -> None:
    ledger.record([delivery(event("customer.created", customer("cus_1", "usr_1"), at=NOW - 9))])
    ledger.record([delivery(event("customer.updated", customer("cus_1", "usr_2"), at=NOW))])

    query = "SELECT before, after FROM audit_logs WHERE action = 'customer.moved'"
    ((before, after),) = rows(engine, query)
    assert (before["user_id"], after["user_id"]) == ("usr_1", "usr_2")
    assert json.dumps(after)
