"""A statement of a person leaves its fact, its rows and its audit, and nothing wipes it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from billing.catalogue import read_catalogue
from billing.ids import EventId, PartyId, Realm
from billing.statements import OperatorGrant, OperatorLink
from runtime.ledger import catalogues
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.errors import StatementRefused
from runtime.ledger.locks import lock
from runtime.ledger.maintenance.rebuild import Rebuilder
from runtime.ledger.maintenance.reproject import reproject
from runtime.ledger.prepare import Scope
from runtime.ledger.record import Ledger
from runtime.ledger.statements import EndStatement, NewStatement
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import (
    WAITING,
    checkout,
    contents,
    customer,
    delivery,
    event,
    example_plans,
    rows,
)
from tests.workers.waiting import until

pytestmark = pytest.mark.servers

START = datetime(2026, 1, 1, tzinfo=UTC)
GIVEN = PartyId("any:grant_1")


def grant(name: str = "grant_1", user: str = "usr_1", **how: Any) -> NewStatement:
    values: dict[str, Any] = {
        "id": name,
        "user_id": user,
        "plan_code": "premium",
        "features": (("max_devices", 5), ("signals_enabled", True)),
        "starts_at": START,
        "until": None,
    }
    return stated(OperatorGrant(**(values | how)), f"op_{name}")


def link(target: str, user: str, name: str = "link_1") -> NewStatement:
    realm = Realm("test")
    return stated(OperatorLink(id=name, user_id=user, target=target, realm=realm), f"op_{name}")


def stated(subject: OperatorGrant | OperatorLink, statement: str) -> NewStatement:
    return NewStatement(
        id=EventId(statement), subject=subject, actor="cli:ada", reason="the outage in May"
    )


def end(subject: str, by: str = "op_end") -> EndStatement:
    return EndStatement(id=EventId(by), subject=subject, actor="cli:bob", reason="a mistake")


def record(ledger: Ledger, *new: NewStatement | EndStatement) -> None:
    ledger.transact(lambda connection: ledger.state(connection, new))


def rebuilder_on(engine: Engine, *, dry_run: bool = False) -> Rebuilder:
    return Rebuilder(
        engine=engine,
        catalogues=CatalogueCache(),
        scope=Scope(livemode="any", accounts=frozenset()),
        actor="test",
        reason="test",
        dry_run=dry_run,
    )


def in_force(engine: Engine) -> list[Any]:
    return rows(
        engine,
        "SELECT user_id, source FROM user_entitlements WHERE active ORDER BY user_id, source",
    )


def test_a_grant_leaves_access_statement_and_audit(ledger: Ledger, engine: Engine) -> None:
    record(ledger, grant(until=datetime(2999, 1, 1, tzinfo=UTC)))

    (row,) = rows(engine, "SELECT * FROM user_entitlements")
    assert (row.user_id, row.source, row.plan_code, row.realm) == (
        "usr_1",
        "grant_1",
        "premium",
        "any",
    )
    assert (row.active, row.event_id, row.starts_at) == (True, "op_grant_1", START)
    assert row.because == "cli:ada gave this: the outage in May"
    (statement,) = rows(engine, "SELECT * FROM operator_statements")
    assert (statement.kind, statement.subject, statement.user_id) == ("grant", "grant_1", "usr_1")
    assert statement.says["until"] == "2999-01-01T00:00:00+00:00"
    audited = rows(engine, "SELECT action, actor, origin, event_id, reason FROM audit_logs"
                   " WHERE actor <> 'test' ORDER BY id")  # fmt: skip
    assert audited == [
        ("grant.added", "cli:ada", "operator", "op_grant_1", "the outage in May"),
        ("entitlement.granted", "cli:ada", "operator", "op_grant_1", "the outage in May"),
    ]
    assert rows(engine, "SELECT feature FROM effective_entitlements ORDER BY 1") == [
        "max_devices", "signals_enabled",
    ]  # fmt: skip


@pytest.mark.parametrize("empty", ["", " ", "\t\n", "\r\v\f"])
@pytest.mark.parametrize("member", ["reason", "actor"])
def test_a_statement_without_a_reason_or_a_person_is_refused_by_the_database(
    ledger: Ledger, engine: Engine, member: str, empty: str
) -> None:
    nothing: dict[str, Any] = {member: empty}
    said = replace(grant(), **nothing)

    with pytest.raises(IntegrityError, match=f"operator_statements_{member}_check"):
        record(ledger, said)

    assert rows(engine, "SELECT id FROM operator_statements") == []
    assert in_force(engine) == []


def test_a_statement_is_never_changed(ledger: Ledger, engine: Engine) -> None:
    record(ledger, grant())

    for change in (
        "UPDATE operator_statements SET reason = 'x'",
        "DELETE FROM operator_statements",
    ):
        with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
            connection.execute(text(change))


def test_a_preview_leaves_no_trace(ledger: Ledger, engine: Engine) -> None:
    before = contents(engine)

    (change,) = ledger.try_out(lambda connection: ledger.state(connection, [grant()]))

    assert len(change.decisions) > 0
    assert contents(engine) == before


def test_a_person_ends_a_grant_once(ledger: Ledger, engine: Engine) -> None:
    record(ledger, grant())
    record(ledger, end("grant_1"))

    assert in_force(engine) == []
    (row,) = rows(engine, "SELECT * FROM user_entitlements")
    assert (row.event_id, row.because) == ("op_end", "cli:bob ended this grant: a mistake")
    with pytest.raises(StatementRefused, match="cli:bob ended grant_1 already: a mistake"):
        record(ledger, end("grant_1", "op_again"))
    with pytest.raises(StatementRefused, match="there is no grant_9"):
        record(ledger, end("grant_9"))


def test_a_grant_or_link_is_ended_once_also_within_a_transaction(
    ledger: Ledger, engine: Engine
) -> None:
    record(ledger, grant())

    with pytest.raises(StatementRefused, match="grant_1 is named twice"):
        record(ledger, end("grant_1", "op_1"), end("grant_1", "op_2"))

    assert in_force(engine) == [("usr_1", "grant_1")]


def test_the_audit_has_what_was_said_before_and_after(ledger: Ledger, engine: Engine) -> None:
    ledger.record([delivery(event("checkout.session.completed", checkout("cs_1")))])
    record(ledger, grant(), link("cs_1", "usr_9"))
    record(ledger, end("grant_1", "op_1"), end("link_1", "op_2"))

    audited = rows(
        engine,
        "SELECT action, actor, reason, user_id, before ->> 'user_id', after ->> 'user_id'"
        " FROM audit_logs WHERE target_type IN ('grant', 'link') ORDER BY id",
    )
    assert audited == [
        ("grant.added", "cli:ada", "the outage in May", "usr_1", None, "usr_1"),
        ("link.added", "cli:ada", "the outage in May", "usr_9", None, "usr_9"),
        ("grant.ended", "cli:bob", "a mistake", "usr_1", "usr_1", None),
        ("link.ended", "cli:bob", "a mistake", "usr_9", "usr_9", None),
    ]


def test_of_two_who_end_a_grant_at_once_one_does(ledger: Ledger, engine: Engine) -> None:
    record(ledger, grant())

    def try_to_end(number: int) -> bool:
        try:
            record(ledger_on(engine), end("grant_1", f"op_{number}"))
        except StatementRefused:
            return False
        return True

    with ThreadPoolExecutor(8) as people:
        ended = list(people.map(try_to_end, range(8)))

    assert ended.count(True) == 1
    assert rows(engine, "SELECT count(*) FROM operator_statements WHERE kind = 'grant_ended'") == [
        1
    ]


def test_many_statements_of_one_transaction_are_recorded_together(
    ledger: Ledger, engine: Engine
) -> None:
    record(ledger, *(grant(f"grant_{number}", f"usr_{number % 3}") for number in range(20)))

    assert len(in_force(engine)) == 20


def test_a_link_moves_what_a_guest_bought_with_its_money(ledger: Ledger, engine: Engine) -> None:
    guest = event("checkout.session.completed", checkout("cs_1", client_reference_id=None))
    ledger.record([delivery(guest)])
    assert in_force(engine) == []

    record(ledger, link("cs_1", "usr_9"))

    assert in_force(engine) == [("usr_9", "pi_of_cs_1")]
    assert rows(engine, "SELECT user_id, kind, amount_minor, event_id FROM payment_events"
                " ORDER BY id") == [
        (None, "received", 2999, rows(engine, "SELECT id FROM stripe_events")[0]),
        (None, "moved", -2999, "op_link_1"),
        ("usr_9", "moved", 2999, "op_link_1"),
    ]  # fmt: skip


def test_a_link_that_is_taken_back_counts_as_never_made(ledger: Ledger, engine: Engine) -> None:
    ledger.record([delivery(event("checkout.session.completed", checkout("cs_1")))])
    record(ledger, link("cs_1", "usr_9"))
    assert in_force(engine) == [("usr_9", "pi_of_cs_1")]

    record(ledger, end("link_1"))

    assert in_force(engine) == [("usr_123", "pi_of_cs_1")]


def test_the_end_of_a_link_says_since_when_it_was(ledger: Ledger, engine: Engine) -> None:
    ledger.record([delivery(event("checkout.session.completed", checkout("cs_1")))])
    record(ledger, link("cs_1", "usr_9"))
    record(ledger, end("link_1"))

    (made_at,) = rows(engine, "SELECT made_at FROM operator_statements WHERE kind = 'link'")
    (since,) = rows(
        engine, "SELECT says ->> 'since' FROM operator_statements WHERE kind = 'link_ended'"
    )
    (stated,) = rows(
        engine, "SELECT fact -> 'fields' ->> 'since' FROM facts WHERE event_id = 'op_end'"
    )
    assert datetime.fromisoformat(since) == datetime.fromisoformat(stated) == made_at


def test_what_no_event_has_named_cannot_be_linked(ledger: Ledger, engine: Engine) -> None:
    with pytest.raises(StatementRefused, match="no event has named cs_typo yet"):
        record(ledger, link("cs_typo", "usr_9"))

    assert rows(engine, "SELECT object_key FROM memberships") == []


def test_nothing_that_happens_later_wipes_a_statement(ledger: Ledger, engine: Engine) -> None:
    bought = delivery(event("checkout.session.completed", checkout("cs_1", customer="cus_1")))
    ledger.record([bought])
    seats = {"plan_code": "gone", "features": (("seats", 2),), "per_seat": ("seats",)}
    record(ledger, grant("grant_1", "usr_123"), link("cs_1", "usr_9"))
    record(ledger, grant("grant_2", "usr_123", **seats), link("cs_1", "usr_8", "link_2"))
    record(ledger, end("link_2"))
    before = in_force(engine)
    assert before == [("usr_123", "grant_1"), ("usr_123", "grant_2"), ("usr_9", "pi_of_cs_1")]

    ledger.record([bought])
    ledger.record([delivery(event("customer.updated", customer("cus_1", "usr_123")))])
    with engine.connect() as connection:
        parties = [*connection.scalars(text("SELECT party FROM parties ORDER BY party"))]
    rebuilder = rebuilder_on(engine)
    assert rebuilder.from_facts(parties).decisions == []
    rebuilder.from_events(parties)
    assert in_force(engine) == before

    stated = "SELECT fact FROM facts WHERE event_id LIKE 'op_%' ORDER BY event_id"
    facts = rows(engine, stated)
    for repair in (rebuilder.from_facts, rebuilder.from_events):
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM facts WHERE event_id LIKE 'op_%'"))
        assert repair(parties).decisions == []
        assert in_force(engine) == before
        assert rows(engine, stated) == facts


def test_a_rebuild_forgets_what_the_table_of_statements_does_not_say(
    ledger: Ledger, engine: Engine
) -> None:
    record(ledger, grant("grant_1"), grant("grant_2"))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE operator_statements DISABLE TRIGGER append_only"))
        connection.execute(text("DELETE FROM operator_statements WHERE subject = 'grant_1'"))
        connection.execute(text("ALTER TABLE operator_statements ENABLE TRIGGER append_only"))

    rebuilder_on(engine).from_facts([PartyId("any:grant_1"), PartyId("any:grant_2")])

    assert in_force(engine) == [("usr_1", "grant_2")]
    assert rows(engine, "SELECT event_id FROM facts") == ["op_grant_2"]


def test_a_plan_that_is_given_stays_when_the_catalogue_loses_it(
    ledger: Ledger, engine: Engine
) -> None:
    record(ledger, grant())
    plans = read_catalogue({"plans": {"other": {"features": {"other": True}}}})
    catalogues.switch(engine, plans, actor="test", reason="test")
    project_again(engine)

    assert in_force(engine) == [("usr_1", "grant_1")]


def project_again(engine: Engine) -> None:
    reproject(engine, CatalogueCache(), [GIVEN], actor="test", reason="test")


def rebuild_facts(engine: Engine) -> None:
    rebuilder_on(engine).from_facts([GIVEN])


def rebuild_events(engine: Engine) -> None:
    rebuilder_on(engine).from_events([GIVEN])


@pytest.mark.parametrize("repair", [project_again, rebuild_facts, rebuild_events])
def test_who_waited_while_a_grant_began_does_not_take_it_back(
    ledger: Ledger, engine: Engine, repair: Callable[[Engine], None]
) -> None:
    """Show that, unless the machine needs a second to begin the repair: then nothing is shown."""
    starts_at = datetime.now(UTC) + timedelta(seconds=1)
    record(ledger, grant(starts_at=starts_at))
    with ThreadPoolExecutor(1) as other, engine.begin() as holder:
        lock(holder, [GIVEN], above=())
        repaired = other.submit(repair, engine)
        until(lambda: rows(engine, WAITING) == [1])
        until(lambda: datetime.now(UTC) > starts_at)
        holder.rollback()
        repaired.result()

    assert in_force(engine) == [("usr_1", "grant_1")]


def test_a_grant_that_begins_later_waits_for_its_start(ledger: Ledger, engine: Engine) -> None:
    starts_at = datetime.now(UTC) + timedelta(days=1)
    record(ledger, grant(starts_at=starts_at))

    assert in_force(engine) == []
    assert rows(engine, "SELECT due_at FROM parties") == [starts_at]
    assert example_plans().plan_by_code("premium")
