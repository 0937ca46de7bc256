"""Rows follow from facts and facts from bodies, so both can be computed again."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from billing.catalogue import read_catalogue
from billing.envelope import Envelope
from billing.errors import UnreadableEvent
from billing.ids import EventId, PartyId
from billing.readers.registry import Reading, read_event
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose, scenarios_in
from runtime.ledger import catalogues, prepare, record
from runtime.ledger.catalogues import CatalogueCache, VersionedCatalogue
from runtime.ledger.maintenance import scan as walk
from runtime.ledger.maintenance.rebuild import Rebuilder, Rebuilt
from runtime.ledger.maintenance.reproject import reproject
from runtime.ledger.prepare import Scope
from runtime.ledger.record import Ledger
from runtime.ledger.write import write
from tests.runtime.ledger.delivery_builders import (
    NOW,
    WAITING,
    checkout,
    contents,
    customer,
    deliveries,
    delivery,
    event,
    intent,
    rows,
)
from tests.runtime.ledger.observation_builders import BY_ADA, gone, seen, subscription
from tests.workers.waiting import until

pytestmark = pytest.mark.servers

HISTORY = ("audit_logs", "payment_events", "user_versions")
ALTERATIONS = (
    "UPDATE user_entitlements SET active = NOT active, because = 'x'",
    "UPDATE user_entitlements SET entitlements = '{\"root\": true}'",
    "UPDATE user_entitlements SET per_seat = '{signals_enabled}'",
    "UPDATE user_entitlements SET user_id = 'usr_thief'",
    "UPDATE user_entitlements SET catalogue_version = 7",
    "UPDATE user_entitlements SET party = 'test:cus_other'",
    "DELETE FROM user_entitlements",
    "UPDATE payments SET amount_minor = amount_minor + 7",
    "UPDATE payments SET user_id = 'usr_thief', amount_minor = 1",
    "UPDATE payments SET currency = 'xyz', amount_refunded_minor = 3",
    "UPDATE payments SET party = 'test:cus_other'",
    "DELETE FROM payments",
    "UPDATE subscriptions SET status = 'canceled', prices = '{}'",
    "UPDATE purchases SET status = 'failed', plan_code = NULL",
    "UPDATE customers SET user_id = 'usr_thief'",
    "UPDATE parties SET due_at = '2100-01-01', waiting = true, unknown_prices = '{x}'",
    "DELETE FROM parties",
    "INSERT INTO customers VALUES ('test', 'cus_nobody', 'usr_nobody', 'test:cus_nobody')",
)


@pytest.fixture
def shop(ledger: Ledger) -> None:
    """Record every lifecycle in every shape, each with a user of its own."""
    for shape in Shape:
        for name in scenarios_in(shape):
            seed = f"{shape}{name}"
            events = compose(name, shape=shape, seed=seed, now=NOW, user_id=f"usr_{seed}")
            ledger.record(deliveries(events))


def rebuilder(engine: Engine, **given: Any) -> Rebuilder:
    values: dict[str, Any] = {
        "catalogues": CatalogueCache(),
        "scope": Scope(livemode="any", accounts=frozenset()),
        "actor": "ada",
        "reason": "look again",
        "dry_run": False,
    }
    return Rebuilder(engine=engine, **(values | given))


def all_of(engine: Engine, step: Callable[[list[PartyId]], Rebuilt]) -> Rebuilt:
    whole = Rebuilt()
    for parties in walk.pages(engine, walk.named_parties, size=20):
        found = step(parties)
        whole.decisions += found.decisions
        whole.restated += found.restated
        whole.events += found.events
        whole.parties += found.parties
        whole.kept |= found.kept
    return whole


def test_rows_that_were_not_altered_are_found_right(shop: None, engine: Engine) -> None:
    before = contents(engine)

    from_facts = all_of(engine, rebuilder(engine).from_facts)
    from_events = all_of(engine, rebuilder(engine).from_events)

    assert (from_facts.decisions, from_events.decisions) == ([], [])
    assert (from_events.restated, from_events.kept) == ([], {})
    assert from_events.events == len(rows(engine, "SELECT DISTINCT event_id FROM facts"))
    assert contents(engine) == before


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_altered_rows_are_put_right_and_money_is_not_booked_twice(
    shop: None, engine: Engine, alteration: str
) -> None:
    before = contents(engine, without=HISTORY)
    booked = rows(engine, "SELECT count(*) FROM payment_events")
    with engine.begin() as connection:
        connection.execute(text(alteration.replace(":", r"\:")))
    altered = contents(engine)
    assert altered != before

    preview = all_of(engine, rebuilder(engine, dry_run=True).from_facts)
    assert contents(engine) == altered
    done = all_of(engine, rebuilder(engine).from_facts)

    assert contents(engine, without=HISTORY) == before
    if "SET party" not in alteration:
        assert preview.decisions == done.decisions
        assert rows(engine, "SELECT count(*) FROM payment_events") == booked
    assert all_of(engine, rebuilder(engine).from_facts).decisions == []


def test_the_audit_says_who_put_access_right_and_why(ledger: Ledger, engine: Engine) -> None:
    ledger.record([delivery(event("checkout.session.completed", checkout("cs_1")))])
    with engine.begin() as connection:
        connection.execute(text("UPDATE user_entitlements SET active = false"))

    all_of(engine, rebuilder(engine).from_facts)

    query = "SELECT action, actor, origin, reason, user_id FROM audit_logs ORDER BY id DESC LIMIT 1"
    assert rows(engine, query) == [
        ("entitlement.granted", "ada", "operator", "look again", "usr_123")
    ]


@pytest.mark.parametrize(
    "lost", ["DELETE FROM facts", "DELETE FROM facts WHERE kind = 'subscription'"]
)
def test_facts_that_were_lost_come_back_from_the_bodies(
    shop: None, engine: Engine, lost: str
) -> None:
    before = contents(engine, without=HISTORY)
    with engine.begin() as connection:
        connection.execute(text(lost))
    work = rebuilder(engine)

    for ids in filter(None, walk.events_without_facts(engine)):
        work.events(ids)
    found = all_of(engine, work.from_events)

    assert found.decisions == []
    assert contents(engine, without=HISTORY) == before


def test_events_an_older_release_did_not_know_are_read_today(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = deliveries(compose("renewal", shape=Shape.NEW, seed="s", now=NOW, user_id="usr_1"))

    def ignorant(envelope: Envelope, _: object = None) -> Reading:
        return read_event(replace(envelope, type="unheard.of"))

    with monkeypatch.context() as old:
        old.setattr(prepare, "read_event", ignorant)
        ledger.record(events)
    assert rows(engine, "SELECT DISTINCT outcome FROM stripe_events") == ["ignored"]

    for ids in walk.events_without_facts(engine, size=5):
        rebuilder(engine).events(ids)

    assert rows(engine, "SELECT user_id FROM user_entitlements WHERE active") == ["usr_1"]
    query = "SELECT count(*) FROM stripe_events WHERE outcome = 'ignored' AND reason IS NULL"
    assert rows(engine, query) == [0]
    assert all_of(engine, rebuilder(engine).from_events).decisions == []


def test_an_event_that_a_replay_restates_meanwhile_is_read_after_it(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let a replay, which has written and not committed yet, hold the event."""
    body = event("customer.updated", customer("cus_1", "usr_1"))

    def ignorant(envelope: Envelope, _: object = None) -> Reading:
        return read_event(replace(envelope, type="unheard.of"))

    with monkeypatch.context() as old:
        old.setattr(prepare, "read_event", ignorant)
        (ignored,) = ledger.record([delivery(body)])
    written, may_commit = Event(), Event()

    def write_and_wait(*given: object) -> None:
        write(*given)  # type: ignore[arg-type]
        written.set()
        assert may_commit.wait(60)

    monkeypatch.setattr(record, "write", write_and_wait)
    with ThreadPoolExecutor(2) as pool:
        replay = pool.submit(ledger.record, [delivery(body, origin="replay", actor="ada")])
        assert written.wait(60)
        rebuild = pool.submit(rebuilder(engine).events, [EventId(ignored.event_id)])
        until(lambda: rows(engine, WAITING) == [1], why="the rebuild waits for the replay")
        may_commit.set()
        replay.result()

        assert rebuild.result().restated == []

    assert rows(engine, "SELECT outcome FROM stripe_events") == ["applied"]


def test_parties_that_todays_readers_find_to_be_one_are_joined(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [
        event("customer.created", customer("cus_1", "usr_1")),
        event("payment_intent.succeeded", intent("pi_1", customer="cus_1")),
    ]

    def blind(envelope: Envelope, _: object = None) -> Reading:
        found = read_event(envelope)
        facts = tuple(
            replace(fact, customer_id=None, mentions=(fact.object_key,)) for fact in found.facts
        )
        return replace(found, facts=facts)

    with monkeypatch.context() as old:
        old.setattr(prepare, "read_event", blind)
        ledger.record([delivery(body) for body in bodies])
    assert len(rows(engine, "SELECT party FROM parties")) == 2

    found = rebuilder(engine).from_events(
        [PartyId(party) for party in rows(engine, "SELECT party FROM parties")]
    )

    assert len(found.restated) >= 1
    assert rows(engine, "SELECT party FROM parties") == ["test:cus_1"]
    assert rows(engine, "SELECT DISTINCT party FROM facts") == ["test:cus_1"]
    assert all_of(engine, rebuilder(engine).from_events).decisions == []


def test_what_these_settings_exclude_keeps_what_it_states_and_is_named(
    shop: None, engine: Engine
) -> None:
    before = contents(engine)
    live_only = rebuilder(engine, scope=Scope(livemode="live", accounts=frozenset()))

    found = all_of(engine, live_only.from_events)

    assert contents(engine) == before
    assert "the settings here exclude it" in next(iter(found.kept.values()))


class TestWhatTheApiShowedForNoEvent:
    def test_is_found_right(self, ledger: Ledger, engine: Engine) -> None:
        ledger.record([delivery(event("customer.created", customer("cus_1")))])
        ledger.observe([seen(subscription()), seen(intent("pi_1", customer="cus_1"))], BY_ADA)
        before = contents(engine)

        from_facts = all_of(engine, rebuilder(engine).from_facts)
        from_events = all_of(engine, rebuilder(engine).from_events)

        assert (from_facts.decisions, from_events.decisions) == ([], [])
        assert (from_events.events, from_events.restated, from_events.kept) == (3, [], {})
        assert contents(engine) == before

    def test_ends_a_subscription_still(self, ledger: Ledger, engine: Engine) -> None:
        """Read a subscription that is gone as it was read first, which an event does not."""
        ledger.observe([seen(subscription(), at=NOW - 60)], BY_ADA)
        ledger.observe([gone("subscription", "sub_1")], BY_ADA)
        before = contents(engine)

        found = all_of(engine, rebuilder(engine).from_events)

        assert (found.events, found.restated, found.decisions) == (2, [], [])
        assert contents(engine) == before

    def test_brings_back_what_was_altered(self, ledger: Ledger, engine: Engine) -> None:
        ledger.observe([seen(subscription())], BY_ADA)
        before = contents(engine, without=HISTORY)
        with engine.begin() as connection:
            altered = "UPDATE facts SET fact = fact || '{\"customer_id\": null}'"
            connection.execute(text(altered))

        found = all_of(engine, rebuilder(engine).from_events)

        assert found.restated == [f"obs_sub_1_{NOW}"]
        assert contents(engine, without=HISTORY) == before

    def test_of_a_mode_that_does_not_count_keeps_what_it_states_and_is_named(
        self, ledger: Ledger, engine: Engine
    ) -> None:
        ledger.observe([seen(subscription())], BY_ADA)
        before = contents(engine)
        live_only = rebuilder(engine, scope=Scope(livemode="live", accounts=frozenset()))

        found = all_of(engine, live_only.from_events)

        assert list(found.kept) == [f"obs_sub_1_{NOW}"]
        assert contents(engine) == before

    def test_follows_other_plans(self, ledger: Ledger, engine: Engine) -> None:
        ledger.observe([seen(subscription())], BY_ADA)
        others = read_catalogue({"plans": {"basic": {"prices": ["price_premium_monthly"]}}})
        catalogues.switch(engine, others, actor="ada", reason="other plans")

        reproject(engine, CatalogueCache(), [PartyId("test:cus_1")], actor="ada", reason="other")

        granted = "SELECT plan_code FROM user_entitlements WHERE active"
        assert rows(engine, granted) == ["basic"]


def test_what_cannot_be_read_any_more_keeps_what_it_states_and_is_named(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.record([delivery(event("checkout.session.completed", checkout("cs_1"), id="evt_x"))])
    ledger.record([delivery(event("checkout.session.completed", checkout("cs_2"), id="evt_y"))])
    before = contents(engine, without=("stripe_events",))
    with engine.begin() as connection:
        connection.execute(text("UPDATE stripe_events SET payload = '[' WHERE id = 'evt_y'"))

    def fail(envelope: Envelope, _: object = None) -> Reading:
        raise UnreadableEvent(envelope.event_id, missing="object id")

    monkeypatch.setattr(prepare, "read_event", fail)
    found = all_of(engine, rebuilder(engine).from_events)

    assert sorted(found.kept) == ["evt_x", "evt_y"]
    assert contents(engine, without=("stripe_events",)) == before


def test_an_event_whose_dead_letter_was_discarded_stays_discarded(
    ledger: Ledger, engine: Engine
) -> None:
    ledger.record([delivery(event("checkout.session.completed", checkout("cs_1"), id="evt_x"))])
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM facts"))
        connection.execute(
            text("UPDATE stripe_events SET outcome = 'ignored', reason = 'discarded'")
        )

    found = rebuilder(engine).events([EventId("evt_x")])

    assert (found.restated, found.events) == ([], 0)
    assert rows(engine, "SELECT reason FROM stripe_events") == ["discarded"]


def test_a_party_that_was_merged_away_meanwhile_is_left_out(engine: Engine) -> None:
    before = contents(engine)

    assert rebuilder(engine).from_facts([PartyId("test:cus_gone")]).parties == 0
    assert rebuilder(engine).from_events([PartyId("test:cus_gone")]).parties == 0

    assert contents(engine) == before


def test_bodies_that_are_read_again_bring_back_the_words_to_find_a_party_by(
    engine: Engine, ledger: Ledger
) -> None:
    stated = {"id": "cus_1", "object": "customer", "email": "ada@example.com"}
    ledger.record([delivery(event("customer.created", stated))])
    written = rows(engine, "SELECT * FROM search_terms")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM search_terms"))

    all_of(engine, rebuilder(engine, dry_run=True).from_events)
    assert rows(engine, "SELECT * FROM search_terms") == []

    found = all_of(engine, rebuilder(engine).from_events)
    assert rows(engine, "SELECT * FROM search_terms") == written != []
    assert found.restated == []


def test_a_rebuild_may_compute_for_longer_than_an_event(engine: Engine) -> None:
    shown: list[str] = []

    class WatchedCatalogues(CatalogueCache):
        def current(self, connection: Connection) -> VersionedCatalogue:
            bound = "SHOW idle_in_transaction_session_timeout"
            shown.append(connection.execute(text(bound)).scalar_one())
            return super().current(connection)

    for given in ({}, {"idle_seconds": 90}):
        rebuild = rebuilder(engine, catalogues=WatchedCatalogues(), **given)
        rebuild.from_facts([PartyId("test:cus_1")])
        rebuild.events([])

    assert shown == ["20s", "20s", "90s", "90s"]
