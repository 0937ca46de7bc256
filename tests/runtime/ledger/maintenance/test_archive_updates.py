"""A change of everything of a customer is committed at once; a long past follows in steps."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import Connection, Engine, text

from billing.catalogue import Catalogue
from billing.ids import EventId, PartyId, PlanCode, Realm
from billing.statements import OperatorLink
from runtime.ledger import catalogues, locks
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.maintenance import archive_updates
from runtime.ledger.maintenance.archive_updates import ArchiveUpdates, updates_in_progress
from runtime.ledger.maintenance.rebuild import Rebuilder
from runtime.ledger.maintenance.reproject import reproject
from runtime.ledger.prepare import Scope
from runtime.ledger.record import Ledger
from runtime.ledger.statements import NewStatement
from runtime.time_limits import FAILED_UPDATE_AGAIN_SECONDS
from tests.runtime.ledger.delivery_builders import (
    NOW,
    customer,
    delivery,
    event,
    example_plans,
    intent,
    refunded,
    rows,
)
from tests.runtime.ledger.long_pasts import PASSES
from tests.workers.fakes import ManualClock

pytestmark = pytest.mark.servers

PARTY = PartyId("test:cus_1")
PAYMENTS = 40
OF_USERS = "SELECT user_id, count(*) FROM payments GROUP BY 1 ORDER BY 1"
ACTIVE = "SELECT user_id, count(*) FROM user_entitlements WHERE active GROUP BY 1 ORDER BY 1"


@pytest.fixture(autouse=True)
def everything_is_a_long_past(monkeypatch: pytest.MonkeyPatch) -> None:
    """Change every past in steps, of ten archives each."""
    monkeypatch.setattr("runtime.ledger.load_past.IN_STEPS_ABOVE", 0)
    monkeypatch.setattr("runtime.ledger.maintenance.archive_updates.ARCHIVES_AT_ONCE", 10)


def paid(number: int, plan: str = "premium") -> bytes:
    named = {"plan_code": plan, "user_id": "usr_1"}
    stated = intent(f"pi_{number}", customer="cus_1", metadata=named)
    return event("payment_intent.succeeded", stated, at=NOW - (1000 - number) * 3600)


@pytest.fixture
def old_customer(ledger: Ledger) -> None:
    """Record a customer of usr_1 with many payments."""
    ledger.record([delivery(event("customer.created", customer("cus_1", "usr_1"), at=NOW - 10**7))])
    for first in range(0, PAYMENTS, 10):
        ledger.record([delivery(paid(number)) for number in range(first, first + 10)])


def move(ledger: Ledger, user: str, *, hours: int = 0) -> str:
    """Give the customer another user, and return the event's id."""
    moved = delivery(event("customer.updated", customer("cus_1", user), at=NOW + hours * 3600))
    ledger.record([moved])
    return moved.envelope.event_id


def steps(engine: Engine) -> Iterator[int]:
    """Do every step, and yield how many archives each brought up to date."""
    updates = ArchiveUpdates(engine=engine)
    while done := updates.do_next():
        yield done


def test_a_move_is_committed_with_what_is_loaded_and_the_rest_follows(
    old_customer: None, ledger: Ledger, engine: Engine
) -> None:
    moved_by = move(ledger, "usr_2")

    assert rows(engine, "SELECT user_id FROM customers") == ["usr_2"]
    (was, left), (now, moved) = rows(engine, OF_USERS)
    assert (was, now) == ("usr_1", "usr_2")
    assert left > moved > 0
    with engine.connect() as connection:
        (progress,) = updates_in_progress(connection)
    assert (progress.party, progress.event_id, progress.archives_left) == (PARTY, moved_by, left)

    for done in steps(engine):
        was_moved, moved = moved, dict(rows(engine, OF_USERS))["usr_2"]
        assert was_moved < moved <= was_moved + done

    assert rows(engine, OF_USERS) == [("usr_2", PAYMENTS)]
    assert rows(engine, ACTIVE) == [("usr_2", PAYMENTS)]
    assert rows(engine, "SELECT count(*) FROM archive_updates") == [0]
    assert rows(engine, "SELECT count(*) FROM facts WHERE archive <> ''")[0] >= left


def test_the_audit_names_the_event_that_moved_the_customer_for_every_payment(
    old_customer: None, ledger: Ledger, engine: Engine
) -> None:
    moved_by = move(ledger, "usr_2")
    assert all(steps(engine))

    query = (
        "SELECT event_id, actor, origin, count(*) FROM audit_logs"
        " WHERE action = 'entitlement.granted' AND user_id = 'usr_2' GROUP BY 1, 2, 3"
    )
    assert rows(engine, query) == [(moved_by, "stripe", "stripe", PAYMENTS)]
    query = "SELECT user_id, sum(amount_minor) FROM payment_events GROUP BY 1 ORDER BY 1"
    assert rows(engine, query) == [("usr_1", 0), ("usr_2", PAYMENTS * 2999)]


def test_an_event_about_an_archived_payment_moves_it_before_its_step(
    old_customer: None, ledger: Ledger, engine: Engine
) -> None:
    move(ledger, "usr_2")
    [late] = rows(
        engine, "SELECT payment_ref FROM payments WHERE archive <> '' ORDER BY 1 DESC LIMIT 1"
    )

    ledger.record([delivery(event("charge.refunded", refunded(late)))])

    query = "SELECT user_id, amount_refunded_minor FROM payments WHERE payment_ref = :name"
    assert rows(engine, query, name=late) == [("usr_2", 2999)]
    assert all(steps(engine))
    assert rows(engine, OF_USERS) == [("usr_2", PAYMENTS)]
    assert rows(engine, ACTIVE) == [("usr_2", PAYMENTS - 1)]


def test_a_second_move_takes_over_from_the_first(
    old_customer: None, ledger: Ledger, engine: Engine
) -> None:
    move(ledger, "usr_2")
    ArchiveUpdates(engine=engine).do_next()
    moved_by = move(ledger, "usr_3", hours=1)

    assert {"usr_1", "usr_2", "usr_3"} == {user for user, _ in rows(engine, OF_USERS)}
    with engine.connect() as connection:
        (progress,) = updates_in_progress(connection)
    assert progress.event_id == moved_by
    assert all(steps(engine))
    assert rows(engine, OF_USERS) == [("usr_3", PAYMENTS)]
    assert rows(engine, ACTIVE) == [("usr_3", PAYMENTS)]


def link(user: str) -> NewStatement:
    return NewStatement(
        id=EventId("op_1"),
        subject=OperatorLink(id="link_1", user_id=user, target="cus_1", realm=Realm("test")),
        actor="cli:ada",
        reason="the right user",
    )


def test_a_link_of_a_customer_is_answered_at_once_and_its_cause_stands_in_the_audit(
    old_customer: None, ledger: Ledger, engine: Engine
) -> None:
    (change,) = ledger.transact(lambda connection: ledger.state(connection, [link("usr_2")]))

    assert change.leaves_archives
    assert len(rows(engine, OF_USERS)) == 2
    assert all(steps(engine))
    assert rows(engine, OF_USERS) == [("usr_2", PAYMENTS)]
    query = "SELECT DISTINCT actor, reason FROM audit_logs WHERE user_id = 'usr_2'"
    assert rows(engine, query) == [("cli:ada", "the right user")]


def test_a_link_that_is_tried_out_shows_everything(
    old_customer: None, ledger: Ledger, engine: Engine
) -> None:
    (change,) = ledger.try_out(partial(ledger.state, new=[link("usr_2")], at_once=True))

    assert not change.leaves_archives
    granted = [each for each in change.decisions if type(each).__name__ == "EntitlementGranted"]
    assert len(granted) == PAYMENTS


def test_a_preview_of_a_move_shows_everything(
    old_customer: None, ledger: Ledger, engine: Engine
) -> None:
    moved = delivery(event("customer.updated", customer("cus_1", "usr_2"), at=NOW))

    (preview,) = ledger.preview([moved])

    granted = [e for e in preview.decisions if type(e).__name__ == "EntitlementGranted"]
    assert len(granted) == PAYMENTS
    assert rows(engine, OF_USERS) == [("usr_1", PAYMENTS)]


def put_in_force(engine: Engine, plans: Catalogue) -> int:
    with engine.begin() as connection:
        return catalogues.install(connection, plans, actor="ada", reason="other plans")


def sell_otherwise(engine: Engine) -> int:
    """Put plans in force in which each has one more feature."""
    plans = example_plans()
    changed = tuple(
        replace(plan, features={**plan.features, "exports": True}) for plan in plans.plans
    )
    return put_in_force(engine, replace(plans, plans=changed))


def test_other_plans_reach_a_long_past_in_steps(
    old_customer: None, ledger: Ledger, engine: Engine
) -> None:
    version = sell_otherwise(engine)
    versions = "SELECT catalogue_version, count(*) FROM user_entitlements GROUP BY 1 ORDER BY 1"

    reproject(engine, CatalogueCache(), [PARTY], actor="ada", reason="more in each")

    assert [each for each, _ in rows(engine, versions)] == [version - 1, version]
    assert all(steps(engine))
    assert rows(engine, versions) == [(version, PAYMENTS)]
    query = "SELECT count(*) FROM user_entitlements WHERE entitlements ->> 'exports' = 'true'"
    assert rows(engine, query) == [PAYMENTS]


def test_plans_that_read_other_words_as_a_users_name_reach_a_long_past_at_once(
    old_customer: None, ledger: Ledger, engine: Engine
) -> None:
    plans = example_plans()
    identity = replace(plans.identity, metadata_keys=("account", *plans.identity.metadata_keys))
    version = put_in_force(engine, replace(plans, identity=identity))

    reproject(engine, CatalogueCache(), [PARTY], actor="ada", reason="another word")

    assert rows(engine, "SELECT count(*) FROM archive_updates") == [0]
    query = "SELECT DISTINCT catalogue_version FROM user_entitlements"
    assert rows(engine, query) == [version]


def test_an_event_under_other_plans_changes_what_is_loaded_and_leaves_the_rest_to_steps(
    old_customer: None, ledger: Ledger, engine: Engine
) -> None:
    version = sell_otherwise(engine)

    ledger.record([delivery(paid(PAYMENTS))])

    versions = "SELECT catalogue_version, count(*) FROM user_entitlements GROUP BY 1 ORDER BY 1"
    assert [each for each, _ in rows(engine, versions)] == [version - 1, version]
    assert all(steps(engine))
    assert rows(engine, versions) == [(version, PAYMENTS + 1)]


def test_a_party_that_another_transaction_holds_is_left_for_later(
    old_customer: None, ledger: Ledger, engine: Engine
) -> None:
    move(ledger, "usr_2")

    with engine.connect() as other:
        locks.lock(other, [PARTY], above=())
        assert ArchiveUpdates(engine=engine).do_next() is None
    assert ArchiveUpdates(engine=engine).do_next() == 10


def test_an_update_that_has_begun_anew_too_often_is_done_at_once(
    old_customer: None, ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_updates, "MAX_ROUNDS", 0)
    move(ledger, "usr_2")

    ArchiveUpdates(engine=engine).do_next()

    assert rows(engine, OF_USERS) == [("usr_2", PAYMENTS)]
    assert rows(engine, "SELECT count(*) FROM archive_updates") == [0]


def test_a_rebuild_finishes_an_update(old_customer: None, ledger: Ledger, engine: Engine) -> None:
    move(ledger, "usr_2")
    rebuilder = Rebuilder(
        engine=engine,
        catalogues=CatalogueCache(),
        scope=Scope(livemode="any", accounts=frozenset()),
        actor="ada",
        reason="at once",
        dry_run=False,
    )

    rebuilder.from_facts([PARTY])

    assert rows(engine, OF_USERS) == [("usr_2", PAYMENTS)]
    assert rows(engine, "SELECT count(*) FROM archive_updates") == [0]
    assert ArchiveUpdates(engine=engine).do_next() == 0


def test_an_update_with_no_archive_left_ends_and_counts_so_that_the_next_one_follows(
    old_customer: None, ledger: Ledger, engine: Engine
) -> None:
    move(ledger, "usr_2")
    with engine.begin() as connection:
        connection.execute(text("UPDATE archive_updates SET position = 'test:zz'"))

    assert ArchiveUpdates(engine=engine).do_next() == 1
    assert ArchiveUpdates(engine=engine).do_next() == 0
    assert rows(engine, "SELECT count(*) FROM archive_updates") == [0]


def test_an_update_that_fails_keeps_no_other_waiting_and_is_tried_again(
    old_customer: None, ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    move(ledger, "usr_2")
    clock = ManualClock()
    updates = ArchiveUpdates(engine=engine, clock=clock)
    with monkeypatch.context() as broken:
        broken.setattr(archive_updates, "MAX_ROUNDS", None)
        with pytest.raises(TypeError):
            updates.do_next()

    assert [updates.do_next(), updates.do_next()] == [0, 0]
    clock.now += FAILED_UPDATE_AGAIN_SECONDS
    assert updates.do_next() == 10


def buy_passes(ledger: Ledger, number: int) -> None:
    """Record a customer who bought a plan that lasts some days again and again."""
    apart = 40 * 86_400
    long_ago = NOW - (PAYMENTS + 2) * apart
    begun = customer(f"cus_{number}", f"usr_{number}")
    ledger.record([delivery(event("customer.created", begun, at=long_ago))])
    for place in range(PAYMENTS):
        stated = intent(
            f"pi_{number}_{place}",
            customer=f"cus_{number}",
            metadata={"plan_code": "premium", "user_id": f"usr_{number}"},
        )
        at = long_ago + place * apart
        ledger.record([delivery(event("payment_intent.succeeded", stated, at=at))])


def test_old_payments_of_a_plan_that_lasts_some_days_move_in_one_step(
    ledger: Ledger, engine: Engine
) -> None:
    put_in_force(engine, PASSES)
    buy_passes(ledger, 1)
    move(ledger, "usr_2")
    assert len(rows(engine, OF_USERS)) == 2

    first, *rest = steps(engine)

    assert rows(engine, OF_USERS) == [("usr_2", PAYMENTS)]
    assert (first, rest) == (10, [])


def test_an_update_begins_anew_when_something_that_was_opened_has_to_stay_loaded(
    ledger: Ledger, engine: Engine
) -> None:
    # The first one stays loaded, because it names the user first.
    pays = ["lifetime", *["premium"] * (PAYMENTS - 5), *["lifetime"] * 4]
    ledger.record([delivery(paid(number, plan)) for number, plan in enumerate(pays)])
    plans = example_plans()
    emptied = tuple(
        replace(plan, features={}) if plan.code == "premium" else plan for plan in plans.plans
    )
    put_in_force(engine, replace(plans, plans=emptied))
    reproject(engine, CatalogueCache(), [PARTY], actor="ada", reason="less")
    updates, rounds = ArchiveUpdates(engine=engine), "SELECT rounds FROM archive_updates"

    seen = [rows(engine, rounds) for _ in iter(updates.do_next, 0)]

    # One payment says for all of them that the plan gives nothing, from the second round on.
    in_order = [each for number, each in enumerate(seen) if each not in seen[:number]]
    assert in_order == [[0], [1], []]
    query = "SELECT DISTINCT entitlements FROM user_entitlements WHERE plan_code = 'premium'"
    assert rows(engine, query) == [{}]


def test_plans_that_empty_seldom_bought_ones_reach_a_long_past_in_two_rounds(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = example_plans()
    premium = next(plan for plan in plans.plans if plan.code == "premium")
    seldom = tuple(
        replace(premium, code=PlanCode(f"seldom_{number}"), prices=()) for number in range(4)
    )
    put_in_force(engine, replace(plans, plans=(*plans.plans, *seldom)))
    # Each of them was bought once, and lies in a step of its own.
    by_name = sorted(range(PAYMENTS), key=lambda number: f"pi_{number}")
    bought = {by_name[3 + 10 * place]: plan.code for place, plan in enumerate(seldom[:3])}
    bought[by_name[31]] = seldom[3].code
    begun = event("customer.created", customer("cus_1", "usr_1"), at=NOW - 10**7)
    ledger.record([delivery(begun)])
    for number in range(PAYMENTS):
        ledger.record([delivery(paid(number, bought.get(number, "premium")))])
    emptied = tuple(replace(plan, features={}) for plan in seldom)
    put_in_force(engine, replace(plans, plans=(*plans.plans, *emptied)))
    reproject(engine, CatalogueCache(), [PARTY], actor="ada", reason="less")
    rounds = "SELECT max(rounds) FROM archive_updates"

    seen = [rows(engine, rounds) for _ in steps(engine)]

    assert {each for (each,) in seen} == {0, 1, None}


def test_other_plans_that_come_meanwhile_are_not_said_to_come_from_the_link(
    old_customer: None, ledger: Ledger, engine: Engine
) -> None:
    ledger.transact(partial(ledger.state, new=[link("usr_2")]))
    updates = ArchiveUpdates(engine=engine)
    updates.do_next()
    sell_otherwise(engine)

    assert updates.do_next() == 0
    reproject(engine, CatalogueCache(), [PARTY], actor="grace", reason="more in each")
    assert all(steps(engine))

    query = "SELECT DISTINCT actor FROM audit_logs WHERE action = 'entitlement.changed'"
    assert rows(engine, query) == ["grace"]


def test_an_older_event_that_moves_nothing_does_not_take_the_cause_of_a_link(
    old_customer: None, ledger: Ledger, engine: Engine
) -> None:
    ledger.transact(partial(ledger.state, new=[link("usr_2")]))
    ArchiveUpdates(engine=engine).do_next()
    older = event("customer.updated", customer("cus_1", "usr_3"), at=NOW - 3600)
    ledger.record([delivery(older)])

    assert all(steps(engine))

    query = (
        "SELECT DISTINCT actor FROM audit_logs"
        " WHERE action = 'entitlement.granted' AND user_id = 'usr_2'"
    )
    assert rows(engine, query) == ["cli:ada"]


def test_an_update_that_needs_a_whole_party_passes_over_one_that_is_locked_by_then(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_force(engine, PASSES)
    for number in (1, 2):
        buy_passes(ledger, number)
        moved = customer(f"cus_{number}", f"usr_{number}b")
        ledger.record([delivery(event("customer.updated", moved, at=NOW))])
    tried: list[PartyId] = []

    def try_lock(connection: Connection, parties: Sequence[PartyId]) -> list[PartyId]:
        tried.extend(parties)
        # An event holds the lock of the first party when it is asked for once more.
        return [] if tried == [PARTY, PARTY] else locks.try_lock(connection, parties)

    monkeypatch.setattr(archive_updates, "try_lock", try_lock)
    updates = ArchiveUpdates(engine=engine)

    assert all([updates.do_next(), updates.do_next()])
    assert tried[:3] == [PARTY, PARTY, "test:cus_2"]
    assert rows(engine, "SELECT count(*) FROM archive_updates") == [0]
