"""Store an object that Stripe's API showed under an id of its own, for every later reading."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine

from billing.fetching.plan import observations_in, plan_fetches
from billing.fetching.record import FetchRecord, FetchTarget, read_response
from billing.ids import EventId, PartyId
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose, scenarios_in
from runtime.ledger import record as recording
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.deliveries import Delivery, Settlement
from runtime.ledger.errors import ObservationTaken
from runtime.ledger.maintenance.outdated import OutdatedFacts
from runtime.ledger.maintenance.rebuild import Rebuilder
from runtime.ledger.maintenance.scan import events_without_facts
from runtime.ledger.observed import load_stored_fetches, with_stored_fetches
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
from tests.stripe.account import FakeStripeAccount, account_of
from tests.stripe.state import moment
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
    return replace(given, observations=answers)


def replayed(given: Delivery) -> Delivery:
    return replace(given, origin="replay", actor="ada", reason="because", observations=None)


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
        name = f"obs_sub_1_{NOW + 5}"
        assert rows(engine, "SELECT observations, pending_fetches FROM stripe_events") == [
            ([name], None)
        ]
        assert rows(engine, "SELECT event_id FROM facts") == [name]
        assert rows(engine, "SELECT event_id FROM user_entitlements") == [name]
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

        answers = fetched(given, account).observations
        settled = record(ledger, replace(replayed(given), observations=answers))

        assert outcomes(settled) == [("applied", None)]
        assert active(engine) == [("usr_1", "premium")]
        assert rows(engine, "SELECT count(*) FROM stripe_events WHERE observations IS NULL") == [0]

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
        given = replace(thin(body, account), observations=())

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
        (second,) = record(ledger, replace(given, observations=answers))

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
        assert record(ledger, replace(given, observations=answers))[0].hit


class TestAnObservation:
    def test_is_kept_to_the_byte_with_the_event_that_asked(
        self, ledger: Ledger, engine: Engine
    ) -> None:
        given = thin(updated("active"), account_of([json.loads(updated("active"))]))
        body = (
            '{"id": "sub_1",\t"object":"subscription", "status": "active", "x": "\\u0000\u00e9"}\n'
        )
        target = plan_fetches(given.envelope)
        response = read_response("/v1/subscriptions/sub_1", 200, moment(NOW + 5.9), body, "2026-x")
        asked = FetchRecord(targets=target).with_response(response)

        record(ledger, replace(given, observations=observations_in(asked)))

        assert rows(
            engine,
            "SELECT id, object_id, family, realm, event_id, asked_at, api_version, gone, payload"
            " FROM api_observations",
        ) == [
            (
                f"obs_sub_1_{NOW + 5}",
                "sub_1",
                "subscription",
                "test",
                given.envelope.event_id,
                moment(NOW + 5),
                "2026-x",
                False,
                body,
            )
        ]
        assert rows(engine, "SELECT payload_sha256 FROM api_observations") == [
            sha256(body.encode()).hexdigest()
        ]

    def test_is_shared_by_the_events_that_asked_in_its_second(
        self, ledger: Ledger, engine: Engine, account: FakeStripeAccount
    ) -> None:
        one, other = (thin(updated("active"), account) for _ in range(2))

        settled = record(ledger, fetched(one, account), fetched(other, account))

        assert outcomes(settled) == [("applied", None), ("applied", None)]
        assert rows(engine, "SELECT event_id FROM api_observations") == [one.envelope.event_id]
        assert rows(engine, "SELECT event_id FROM facts") == [f"obs_sub_1_{NOW + 5}"]
        before = contents(engine, without=PERMANENT)
        assert outcomes(record(ledger, replayed(other))) == [("applied", "already applied")]
        assert contents(engine, without=PERMANENT) == before

    def test_is_asked_for_again_if_another_answer_of_its_second_differs(
        self, ledger: Ledger, engine: Engine, account: FakeStripeAccount
    ) -> None:
        """Fetch two thin events within one second of Stripe's, before and after a change."""
        one, other = (thin(updated(status), account) for status in ("active", "unpaid"))
        unpaid = account_of([json.loads(updated("unpaid"))])
        record(ledger, fetched(one, account))
        before = contents(engine)

        with pytest.raises(ObservationTaken):
            record(ledger, fetched(other, unpaid))
        assert contents(engine) == before
        pair = [thin(updated("active"), account) for _ in range(2)]
        with pytest.raises(ObservationTaken):
            record(
                ledger,
                fetched(pair[0], account, at=NOW + 9),
                fetched(pair[1], unpaid, at=NOW + 9),
            )
        record(ledger, fetched(other, unpaid, at=NOW + 6))

        assert active(engine) == []
        assert len(rows(engine, "SELECT id FROM api_observations")) == 2

    def test_that_its_object_is_gone_is_kept_as_well(self, ledger: Ledger, engine: Engine) -> None:
        nothing = FakeStripeAccount()
        given = thin(updated("active"), nothing)

        settled = record(ledger, fetched(given, nothing))

        assert outcomes(settled) == [("ignored", "object_gone")]
        assert rows(engine, "SELECT gone FROM api_observations") == [True]
        assert outcomes(record(ledger, replayed(given))) == [("ignored", "object_gone")]

    def test_and_its_event_are_read_again_by_a_release_that_reads_more(
        self, ledger: Ledger, engine: Engine, account: FakeStripeAccount
    ) -> None:
        """Put facts of an earlier reader in the place of what today's readers read."""
        record(ledger, delivery(updated("active")))
        given = delivery(updated("unpaid"))
        (first,) = record(ledger, given)
        answers = account.fetch(*first.pending_fetches, at=moment(NOW + 2))
        record(ledger, replace(given, observations=answers))
        before = contents(engine, without=PERMANENT)
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE facts SET fact = jsonb_set(fact, '{reader}', '1') #- '{fields,metadata}'"
            )
            connection.exec_driver_sql("UPDATE parties SET reader = 1")

        outdated = OutdatedFacts(engine=engine, scope=Scope(livemode="any", accounts=frozenset()))
        assert outdated.read_next() == 1

        assert contents(engine, without=PERMANENT) == before

    def test_alone_leads_to_the_event_that_asked(
        self, ledger: Ledger, engine: Engine, account: FakeStripeAccount
    ) -> None:
        record(ledger, fetched(thin(updated("active"), account), account))
        facts = rows(engine, "SELECT fact FROM facts")
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE facts SET fact = fact #- '{fields,metadata}'")

        rebuilt = rebuilder(engine).from_events(rows(engine, "SELECT party FROM parties"))

        assert rebuilt.events == 1
        assert rows(engine, "SELECT fact FROM facts") == facts
        silent = [each for page in events_without_facts(engine) for each in page]
        assert silent == []


def test_replaying_and_rebuilding_read_what_is_stored(
    ledger: Ledger, engine: Engine, account: FakeStripeAccount
) -> None:
    record(ledger, delivery(updated("active")))
    given = delivery(updated("unpaid"))
    (first,) = record(ledger, given)
    record(
        ledger,
        replace(given, observations=account.fetch(*first.pending_fetches, at=moment(NOW + 2))),
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
        completing = pool.submit(record, ledger, replace(given, observations=answers))
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
    record(ledger, replace(delivery(body), observations=answers))

    assert rows(engine, "SELECT stripe_customer_id FROM subscriptions") == ["cus_1"]
    assert rows(engine, "SELECT count(*) FROM parties") == [1]
    assert [PartyId(each) for each in rows(engine, "SELECT DISTINCT party FROM facts")]
