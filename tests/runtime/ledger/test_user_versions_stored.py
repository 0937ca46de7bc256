"""Every writer of entitlements raises the versions of users, in its own transaction, last."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from math import inf
from threading import Barrier
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy import event as listening

from billing.catalogue import read_catalogue, write_catalogue
from billing.ids import EventId
from runtime.ledger.catalogues import CatalogueCache, switch
from runtime.ledger.deliveries import Delivery
from runtime.ledger.maintenance.rebuild import Rebuilder
from runtime.ledger.maintenance.reproject import project_due, reproject
from runtime.ledger.prepare import Scope
from runtime.ledger.record import Ledger
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import (
    NOW,
    checkout,
    contents,
    customer,
    delivery,
    event,
    example_plans,
    refunded,
    rows,
)

pytestmark = pytest.mark.servers


def versions(engine: Engine) -> dict[str, int]:
    return dict(rows(engine, "SELECT user_id, version FROM user_versions"))


def audited(engine: Engine, user: str = "usr_123") -> list[tuple[str, int]]:
    query = (
        "SELECT action, version FROM audit_logs WHERE user_id = :user"
        " AND action LIKE 'entitlement.%' ORDER BY id"
    )
    return rows(engine, query, user=user)


def bought(name: str, *, user: str = "usr_123", **given: Any) -> Delivery:
    stated = checkout(f"cs_{name}", client_reference_id=user, **given)
    return delivery(event("checkout.session.completed", stated))


def given_back(name: str) -> Delivery:
    return delivery(event("charge.refunded", refunded(f"pi_of_cs_{name}")))


def a_hundred() -> list[Delivery]:
    """Return purchases of five users, some of them refunded, interleaved."""
    purchases = [bought(f"{number}", user=f"usr_{number % 5}") for number in range(70)]
    return [*purchases, *(given_back(f"{number}") for number in range(0, 60, 2))]


def test_each_event_that_changes_a_row_raises_the_version_by_one(
    ledger: Ledger, engine: Engine
) -> None:
    for each in (bought("1"), bought("2"), given_back("1")):
        ledger.record([each])

    assert versions(engine) == {"usr_123": 3}
    assert audited(engine) == [
        ("entitlement.granted", 1),
        ("entitlement.granted", 2),
        ("entitlement.revoked", 3),
    ]


def test_an_event_that_changes_no_row_of_theirs_leaves_the_version(
    ledger: Ledger, engine: Engine
) -> None:
    first = bought("1")
    ledger.record([first])

    ledger.record([first])
    ledger.record([delivery(event("customer.updated", customer("cus_9", "usr_123")))])

    assert versions(engine) == {"usr_123": 1}


def test_a_hundred_events_in_one_batch_give_the_versions_of_a_hundred_batches(
    engine: Engine, another_engine: Callable[[str], Engine]
) -> None:
    batch, together = a_hundred(), another_engine("together_100")
    assert len(batch) == 100

    unhurried = Ledger(together, livemode="any", accounts=frozenset(), deciding_seconds=inf)
    assert len(unhurried.record(batch)) == 100
    for each in batch:
        ledger_on(engine).record([each])

    assert versions(together) == versions(engine)
    assert contents(together)["audit_logs"] == contents(engine)["audit_logs"]
    assert set(versions(engine)) == {f"usr_{number}" for number in range(5)}


def test_a_move_raises_the_versions_of_both_users(ledger: Ledger, engine: Engine) -> None:
    ledger.record([delivery(event("customer.created", customer("cus_1", "usr_1")))])
    ledger.record([bought("1", user=None, customer="cus_1")])  # type: ignore[arg-type]
    assert versions(engine) == {"usr_1": 1}

    moved = event("customer.updated", customer("cus_1", "usr_2"), at=NOW + 5)
    ledger.record([delivery(moved)])

    assert rows(engine, "SELECT user_id FROM user_entitlements WHERE active") == ["usr_2"]
    assert versions(engine) == {"usr_1": 2, "usr_2": 1}


def test_the_clock_raises_the_version_of_those_whose_access_ends(
    ledger: Ledger, engine: Engine
) -> None:
    subscription = {
        "id": "sub_1",
        "object": "subscription",
        "customer": "cus_1",
        "status": "active",
        "cancel_at": NOW + 3600,
        "cancel_at_period_end": False,
        "metadata": {"user_id": "usr_1"},
        "items": {"data": [{"price": {"id": "price_premium_monthly"}, "quantity": 1}]},
    }
    ledger.record([delivery(event("customer.subscription.updated", subscription))])
    before = versions(engine)
    past = {"past": datetime.now(UTC).isoformat()}
    with engine.begin() as connection:
        connection.execute(text("UPDATE parties SET due_at = now()"))
        ends = "jsonb_set(fact, '{fields,cancel_at}', to_jsonb(CAST(:past AS text)))"
        connection.execute(text(f"UPDATE facts SET fact = {ends}"), past)  # noqa: S608 - ours

    assert project_due(engine, CatalogueCache(), 100) == 1

    assert before == {"usr_1": 1}
    assert versions(engine) == {"usr_1": 2}
    assert audited(engine, "usr_1")[-1] == ("entitlement.revoked", 2)


def test_other_plans_raise_the_version_only_of_those_whose_rows_differ(
    ledger: Ledger, engine: Engine
) -> None:
    ledger.record([bought("1", user="usr_1")])
    ledger.record([bought("2", user="usr_2", metadata={"plan_code": "lifetime"})])
    plans = write_catalogue(example_plans())
    premium = plans["plans"]["premium"]
    premium["features"] = {**premium["features"], "max_devices": 77}
    switch(engine, read_catalogue(plans), actor="ada", reason="more devices")

    parties = rows(engine, "SELECT party FROM parties")
    reproject(engine, CatalogueCache(), parties, actor="ada", reason="more devices")

    assert versions(engine) == {"usr_1": 2, "usr_2": 1}
    assert set(rows(engine, "SELECT catalogue_version FROM user_entitlements")) == {2}


def rebuild(engine: Engine) -> None:
    rebuilder = Rebuilder(
        engine=engine,
        catalogues=CatalogueCache(),
        scope=Scope(livemode="any", accounts=frozenset()),
        actor="ada",
        reason="look again",
        dry_run=False,
    )
    parties = rows(engine, "SELECT party FROM parties")
    rebuilder.from_facts(parties)
    rebuilder.from_events(parties)
    rebuilder.events([EventId(each) for each in rows(engine, "SELECT id FROM stripe_events")])


def test_a_rebuild_raises_only_what_it_puts_right_and_resets_nothing(
    ledger: Ledger, engine: Engine
) -> None:
    ledger.record([bought("1", user="usr_1"), given_back("1"), bought("2", user="usr_2")])
    before = versions(engine)
    rebuild(engine)
    unchanged = versions(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE user_entitlements SET catalogue_version = 7"))
        connection.execute(text("DELETE FROM user_entitlements WHERE user_id = 'usr_2'"))

    rebuild(engine)

    assert before == unchanged == {"usr_1": 2, "usr_2": 1}
    assert versions(engine) == {"usr_1": 2, "usr_2": 2}
    assert audited(engine, "usr_2") == [("entitlement.granted", 1), ("entitlement.granted", 2)]
    assert set(rows(engine, "SELECT catalogue_version FROM user_entitlements")) == {1}


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    sent: list[str] = []

    def collect(*given: Any) -> None:
        sent.append(" ".join(given[2].split()))

    listening.listen(engine, "before_cursor_execute", collect)
    yield sent
    listening.remove(engine, "before_cursor_execute", collect)


def test_versions_are_the_last_lock_and_one_statement_for_all_users(
    ledger: Ledger, engine: Engine
) -> None:
    with statements(engine) as sent:
        ledger.record(a_hundred())

    raising = [each for each in sent if "user_versions" in each]
    assert len(raising) == 1
    assert [each.split(" (")[0] for each in sent[sent.index(raising[0]) + 1 :]] == [
        "INSERT INTO audit_logs"
    ]


class Bought(NamedTuple):
    """One purchase of a customer for a user, which may be refunded later."""

    customer: int
    user: int
    refunded: bool


PURCHASES = st.lists(
    st.builds(Bought, st.integers(1, 8), st.integers(1, 3), st.booleans()), min_size=16, max_size=32
)
_examples = count(1)
WRITERS = 4

LINGER = """
CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(0.002); RETURN NEW; END $$;
CREATE TRIGGER linger BEFORE UPDATE ON user_versions FOR EACH ROW EXECUTE FUNCTION linger()
"""
"""Holds each locked row a moment before the next one, so that transactions meet on the way."""


@pytest.fixture
def lingering(engine: Engine) -> Engine:
    with engine.begin() as connection:
        connection.execute(text(LINGER))
    return engine


def shop_events(example: int, purchases: Sequence[Bought]) -> list[tuple[int, Delivery]]:
    """Return an event with its customer for each purchase and refund; names are the example's."""
    made = []
    for number, each in enumerate(purchases):
        name = f"{example}_{number}"
        stated = {"customer": f"cus_{example}_{each.customer}"}
        user = f"usr_{example}_{each.user}"
        made.append((each.customer, bought(name, user=user, **stated)))
        made += [(each.customer, given_back(name))] if each.refunded else []
    return made


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(purchases=PURCHASES, order=st.randoms(use_true_random=False), apart=st.booleans())
def test_users_of_several_customers_never_deadlock_and_no_step_is_lost(
    lingering: Engine, purchases: Sequence[Bought], order: Any, *, apart: bool
) -> None:
    """Writers whose customers are ``apart`` have no party in common: they meet at users alone."""
    example = next(_examples)
    dealt = shop_events(example, purchases)
    order.shuffle(dealt)
    hands: list[list[Delivery]] = [[] for _ in range(WRITERS)]
    for turn, (customer_number, each) in enumerate(dealt):
        hands[(customer_number if apart else turn) % WRITERS].append(each)
    begin = Barrier(WRITERS)

    def work(hand: Sequence[Delivery]) -> None:
        ledger = ledger_on(lingering)
        begin.wait()
        for start in range(0, len(hand), 6):
            ledger.record(hand[start : start + 6])

    with ThreadPoolExecutor(WRITERS) as pool:
        for done in [pool.submit(work, hand) for hand in hands]:
            done.result()

    users = f"usr_{example}_"
    given_by_audit = rows(
        lingering,
        "SELECT user_id, version, event_id FROM audit_logs WHERE starts_with(user_id, :users)"
        " AND action LIKE 'entitlement.%'",
        users=users,
    )
    query = "SELECT user_id, version FROM user_versions WHERE starts_with(user_id, :users)"
    highest = dict(rows(lingering, query, users=users))
    steps = {(user, version): event_id for user, version, event_id in given_by_audit}
    assert len(steps) == len({(user, event_id) for user, _, event_id in given_by_audit})
    assert all(1 <= version <= highest[user] for user, version in steps)
