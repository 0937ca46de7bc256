"""Answers of Stripe's API are stored beside the payload, and every later reading uses them."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine

from billing.fetching.plan import plan_fetches
from billing.fetching.record import FetchRecord, FetchTarget
from billing.ids import EventId, PartyId
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose, scenarios_in
from runtime.ledger import record as recording
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.deliveries import Delivery, Settlement
from runtime.ledger.fetched import load_stored_fetches, with_stored_fetches
from runtime.ledger.maintenance.rebuild import Rebuilder
from runtime.ledger.prepare import Scope
from runtime.ledger.record import Ledger
from runtime.ledger.write import write
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import (
    NOW,
    contents,
    customer,
    delivery,
    event,
    outcomes,
    rows,
)
from tests.stripe_account import FakeStripeAccount, account_of, moment
from tests.workers.waiting import until

pytestmark = pytest.mark.servers

SUMMARY = "entitlements.active_entitlement_summary"
PERMANENT = ["audit_logs"]


def subscription(status: str, **given: Any) -> dict[str, Any]:
    items = {"data": [{"id": "si_1", "price": {"id": "price_premium_monthly"}, "quantity": 1}]}
    stated = {"id": "sub_1", "object": "subscription", "customer": "cus_1", "items": items}
    return {**stated, "status": status, "metadata": {"user_id": "usr_1"}, **given}


def updated(status: str, *, at: int = NOW, **given: Any) -> bytes:
    return event("customer.subscription.updated", subscription(status), at=at, **given)


def thin(body: bytes, account: FakeStripeAccount) -> Delivery:
    return delivery(json.dumps(account.thin_event(json.loads(body))).encode())


def fetched(given: Delivery, account: FakeStripeAccount, *, at: float = NOW + 5) -> Delivery:
    answers = account.fetch(*plan_fetches(given.envelope), at=moment(at))
    return replace(given, fetched=answers)


def replayed(given: Delivery) -> Delivery:
    return replace(given, origin="replay", actor="ada", reason="because", fetched=None)


def record(ledger: Ledger, *given: Delivery) -> list[Settlement]:
    return ledger.record(given)


def active(engine: Engine) -> list[Any]:
    return rows(engine, "SELECT user_id, plan_code FROM user_entitlements WHERE active")


@pytest.fixture
def account() -> FakeStripeAccount:
    return account_of([json.loads(updated("active"))])


class TestAThinEvent:
    def test_settles_with_what_was_fetched(
        self, ledger: Ledger, engine: Engine, account: FakeStripeAccount
    ) -> None:
        given = fetched(thin(updated("active"), account), account)

        (settled,) = record(ledger, given)

        assert (settled.outcome, settled.reason, settled.pending_fetches) == ("applied", None, ())
        assert active(engine) == [("usr_1", "premium")]
        assert rows(engine, "SELECT fetched, pending_fetches FROM stripe_events") == [
            (given.fetched and given.fetched.as_text(), None)
        ]
        assert rows(engine, "SELECT as_of FROM subscriptions") == [moment(NOW + 5)]

    def test_without_a_key_is_ignored_and_applied_once_it_was_fetched(
        self, ledger: Ledger, engine: Engine, account: FakeStripeAccount
    ) -> None:
        given = thin(updated("active"), account)
        assert outcomes(record(ledger, given)) == [("ignored", "needs_api_key")]

        (settled,) = record(ledger, fetched(given, account))

        assert outcomes([settled]) == [("applied", None)]
        assert (settled.hit, settled.completes) == (False, True)
        assert active(engine) == [("usr_1", "premium")]
        assert rows(engine, "SELECT outcome, reason FROM stripe_events") == [("applied", None)]

    def test_is_replayed_from_what_is_stored(
        self, ledger: Ledger, engine: Engine, account: FakeStripeAccount
    ) -> None:
        given = thin(updated("active"), account)
        record(ledger, fetched(given, account))
        before = contents(engine, without=PERMANENT)

        settled = record(ledger, replayed(given))

        assert outcomes(settled) == [("applied", "already applied")]
        assert contents(engine, without=PERMANENT) == before

    def test_that_was_ignored_can_be_replayed_with_what_was_fetched(
        self, ledger: Ledger, engine: Engine, account: FakeStripeAccount
    ) -> None:
        given = thin(updated("active"), account)
        record(ledger, given)

        answers = fetched(given, account).fetched
        settled = record(ledger, replace(replayed(given), fetched=answers))

        assert outcomes(settled) == [("applied", None)]
        assert active(engine) == [("usr_1", "premium")]
        assert rows(engine, "SELECT count(*) FROM stripe_events WHERE fetched IS NULL") == [0]

    def test_delivered_again_with_what_is_stored_is_a_hit(
        self, ledger: Ledger, engine: Engine, account: FakeStripeAccount
    ) -> None:
        """Fetch again as another worker does after one that died after COMMIT."""
        given = thin(updated("active"), account)
        record(ledger, fetched(given, account))
        before = contents(engine)

        (settled,) = record(ledger, fetched(given, account, at=NOW + 60))

        assert settled.hit
        assert contents(engine) == before

    def test_of_a_mode_that_does_not_count_stays_out(
        self, engine: Engine, account: FakeStripeAccount
    ) -> None:
        ledger = Ledger(engine, livemode="live", accounts=frozenset())

        settled = record(ledger, fetched(thin(updated("active"), account), account))

        assert outcomes(settled) == [("ignored", "wrong_mode")]
        assert active(engine) == []

    def test_about_nothing_we_know_settles_as_that(
        self, ledger: Ledger, account: FakeStripeAccount
    ) -> None:
        body = event("product.updated", {"id": "prod_1", "object": "product"})
        given = replace(thin(body, account), fetched=FetchRecord(targets=()))

        assert outcomes(record(ledger, given)) == [("ignored", "unknown_type")]


class TestAnOpenOrder:
    def test_is_a_pending_fetch_of_the_event_that_opened_it(
        self, ledger: Ledger, engine: Engine
    ) -> None:
        (first,) = record(ledger, delivery(updated("active")))
        (second,) = record(ledger, delivery(updated("unpaid")))

        assert first.pending_fetches == ()
        assert second.pending_fetches == (
            FetchTarget(family="subscription", stripe_id="sub_1", later_than=moment(NOW)),
        )
        assert (
            load_stored_fetches(engine, EventId(second.event_id)).pending == second.pending_fetches
        )
        assert load_stored_fetches(engine, EventId(first.event_id)).pending == ()
        assert load_stored_fetches(engine, EventId("evt_nobody")).pending == ()
        assert rows(engine, "SELECT cardinality(undecided) FROM parties") == [1]

    def test_is_still_known_when_the_event_is_found_settled(self, ledger: Ledger) -> None:
        record(ledger, delivery(updated("active")))
        given = delivery(updated("unpaid"))
        (first,) = record(ledger, given)

        (again,) = record(ledger, given)

        assert (again.hit, again.pending_fetches) == (True, first.pending_fetches)

    def test_is_closed_by_what_was_fetched(
        self, ledger: Ledger, engine: Engine, account: FakeStripeAccount
    ) -> None:
        record(ledger, delivery(updated("active")))
        given = delivery(updated("unpaid"))
        (first,) = record(ledger, given)
        assert active(engine) == []

        answers = account.fetch(*first.pending_fetches, at=moment(NOW + 2))
        (second,) = record(ledger, replace(given, fetched=answers))

        assert (second.completes, second.pending_fetches, second.changes) == (
            True,
            (),
            {"granted": 1},
        )
        assert second.settlement == first.settlement
        assert active(engine) == [("usr_1", "premium")]
        assert rows(
            engine, "SELECT count(*) FROM stripe_events WHERE pending_fetches IS NOT NULL"
        ) == [0]
        assert rows(engine, "SELECT cardinality(undecided) FROM parties") == [0]
        assert record(ledger, replace(given, fetched=answers))[0].hit

    def test_that_the_fetch_itself_opened_is_fetched_once_more(
        self, ledger: Ledger, account: FakeStripeAccount
    ) -> None:
        """Fetch two thin events within one second of Stripe's, before and after a change."""
        one, other = (thin(updated(status), account) for status in ("active", "unpaid"))
        unpaid = account_of([json.loads(updated("unpaid"))])
        record(ledger, fetched(one, account))

        (second,) = record(ledger, fetched(other, unpaid))
        assert second.pending_fetches
        answers = unpaid.fetch(*second.pending_fetches, at=moment(NOW + 9))
        (third,) = record(ledger, replace(other, fetched=answers))

        assert (third.completes, third.pending_fetches) == (True, ())


def test_replaying_and_rebuilding_read_what_is_stored(
    ledger: Ledger, engine: Engine, account: FakeStripeAccount
) -> None:
    record(ledger, delivery(updated("active")))
    given = delivery(updated("unpaid"))
    (first,) = record(ledger, given)
    record(
        ledger, replace(given, fetched=account.fetch(*first.pending_fetches, at=moment(NOW + 2)))
    )
    before = contents(engine, without=PERMANENT)

    assert outcomes(record(ledger, replayed(given))) == [("applied", "already applied")]
    rebuilt = rebuilder(engine).events([EventId(first.event_id)])

    assert (rebuilt.restated, rebuilt.decisions) == ([], [])
    assert contents(engine, without=PERMANENT) == before


def test_rebuilding_from_events_makes_every_fact_of_thin_events_again(
    ledger: Ledger, engine: Engine
) -> None:
    for name in scenarios_in(Shape.NEW):
        payloads = [e.payload for e in compose(name, shape=Shape.NEW, seed="1", now=NOW).events]
        account = account_of(payloads)
        for payload in payloads:
            thin_one = delivery(json.dumps(account.thin_event(payload)).encode())
            record(ledger, fetched(thin_one, account, at=NOW + 60))
    before = contents(engine, without=PERMANENT)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM facts")

    ids = rows(engine, "SELECT id FROM stripe_events")
    rebuilder(engine).events([EventId(each) for each in ids])

    assert contents(engine, without=PERMANENT)["facts"] == before["facts"]


def rebuilder(engine: Engine) -> Rebuilder:
    return Rebuilder(
        engine=engine,
        catalogues=CatalogueCache(),
        scope=Scope(livemode="any", accounts=frozenset()),
        actor="ada",
        reason=None,
        dry_run=False,
    )


def test_a_preview_of_a_replay_reads_what_is_stored(
    ledger: Ledger, account: FakeStripeAccount
) -> None:
    given = thin(updated("active"), account)
    record(ledger, fetched(given, account))

    (preview,) = ledger.preview([replayed(given)])

    assert (preview.outcome, preview.reason) == ("applied", "already applied")


def test_a_replay_that_was_overtaken_by_a_fetch_reads_it(
    ledger: Ledger, engine: Engine, account: FakeStripeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = thin(updated("active"), account)
    record(ledger, given)

    def overtaken(engine: Engine, deliveries: Any) -> Any:
        read = with_stored_fetches(engine, deliveries)
        monkeypatch.undo()
        record(ledger, fetched(given, account))
        return read

    monkeypatch.setattr("runtime.ledger.record.with_stored_fetches", overtaken)

    assert outcomes(record(ledger, replayed(given))) == [("applied", "already applied")]
    assert active(engine) == [("usr_1", "premium")]


def test_a_replay_waits_for_answers_that_are_being_stored(
    ledger: Ledger, engine: Engine, account: FakeStripeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replay an event while another transaction stores what was fetched for it.

    Without a lock on the event's row, the replay sees the row from before, and puts the facts of
    the payload in the place of those that were read with the answers.
    """
    record(ledger, delivery(updated("active")))
    given = delivery(updated("unpaid"))
    (first,) = record(ledger, given)
    answers = account.fetch(*first.pending_fetches, at=moment(NOW + 2))
    written, may_commit = Event(), Event()

    def write_and_wait(*given: object) -> None:
        write(*given)  # type: ignore[arg-type]
        if not written.is_set():
            written.set()
            assert may_commit.wait(60)

    monkeypatch.setattr(recording, "write", write_and_wait)
    with ThreadPoolExecutor(2) as pool:
        completing = pool.submit(record, ledger, replace(given, fetched=answers))
        assert written.wait(60)
        replaying = pool.submit(record, ledger_on(engine), replayed(given))
        try:
            until(lambda: _waiting_for_locks(engine) == [1], seconds=30, why="the replay waits")
        finally:
            may_commit.set()
        completing.result()
        replaying.result()

    assert active(engine) == [("usr_1", "premium")]
    assert rows(engine, "SELECT cardinality(undecided) FROM parties") == [0]


def _waiting_for_locks(engine: Engine) -> list[Any]:
    return rows(
        engine,
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )


def test_a_cut_list_and_a_checkout_without_plan_are_pending_fetches(ledger: Ledger) -> None:
    cut = {"object": "list", "has_more": True, "data": [{"id": "ent_1", "lookup_key": "a"}]}
    listed = {"object": SUMMARY, "customer": "cus_1", "entitlements": cut}
    session = {
        "id": "cs_1",
        "object": "checkout.session",
        "mode": "payment",
        "status": "complete",
        "payment_status": "paid",
        "amount_total": 2999,
        "currency": "usd",
        "client_reference_id": "usr_1",
        "payment_intent": "pi_1",
    }
    bodies = [
        event("customer.created", customer("cus_1", "usr_1")),
        event(f"{SUMMARY}.updated", listed),
        event("checkout.session.completed", session),
    ]

    settled = record(ledger, *map(delivery, bodies))

    assert [[each.family for each in one.pending_fetches] for one in settled] == [
        [],
        [SUMMARY],
        ["checkout.session"],
    ]


def test_what_belongs_to_a_second_party_comes_with_what_was_fetched(
    ledger: Ledger, engine: Engine, account: FakeStripeAccount
) -> None:
    """Learn the customer from the API only; what waited for it takes effect."""
    account.put(customer("cus_1", "usr_9"), moment(NOW) - timedelta(days=1))
    anonymous = subscription("active", customer=None, metadata={})
    body = event("customer.subscription.updated", anonymous)
    named = account_of([json.loads(updated("active"))])
    record(ledger, delivery(event("customer.created", customer("cus_1", "usr_9"))))
    record(ledger, delivery(body))

    wanted = FetchTarget(family="subscription", stripe_id="sub_1")
    answers = named.fetch(wanted, at=moment(NOW + 3))
    record(ledger, replace(delivery(body), fetched=answers))

    assert rows(engine, "SELECT stripe_customer_id FROM subscriptions") == ["cus_1"]
    assert rows(engine, "SELECT count(*) FROM parties") == [1]
    assert [PartyId(each) for each in rows(engine, "SELECT DISTINCT party FROM facts")]
