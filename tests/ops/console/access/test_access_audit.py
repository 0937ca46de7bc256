"""The audit of access is complete and cannot be flooded, however many consoles there are."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from ops.console.access.access_audit import (
    LOGIN_FAILED,
    LOOK,
    close_windows,
    record_failed_login,
    record_look,
)
from ops.console.access.people import Person
from ops.console_tokens import Role
from tests.ops.console.access.people_client import PeopleConsole

pytestmark = pytest.mark.servers

ADA = Person(name="ada", role=Role.OPERATOR, session="ses_1")
SUE = Person(name="sue", role=Role.VIEWER, session="ses_2")
A_MINUTE_LATER = "UPDATE console_audit_windows SET begins_at = begins_at - interval '1 minute'"
AN_HOUR_LATER = "UPDATE console_audit_windows SET begins_at = begins_at - interval '1 hour'"


def fail(engine: Engine, source: str = "10.0.0.1", *, times: int = 1) -> None:
    with engine.begin() as connection:  # its now() stays in one minute
        for _ in range(times):
            record_failed_login(connection, source=source, reason="unknown token")


def look(engine: Engine, person: Person, subject: str) -> bool:
    with engine.begin() as connection:
        return record_look(connection, person, "event", subject)


def close(engine: Engine) -> int:
    with engine.begin() as connection:
        return close_windows(connection)


def test_the_first_failed_login_of_a_source_is_audited_in_full(here: PeopleConsole) -> None:
    fail(here.engine)
    fail(here.engine, "10.0.0.2")

    entries = here.audited()
    assert [entry.target_id for entry in entries] == ["10.0.0.1", "10.0.0.2"]
    assert {(entry.action, entry.outcome) for entry in entries} == {(LOGIN_FAILED, "refused")}


def test_a_flood_from_one_source_becomes_two_entries(here: PeopleConsole) -> None:
    fail(here.engine, times=5)
    here.run(A_MINUTE_LATER)

    assert close(here.engine) == 1

    first, count = here.audited()
    assert first.after is None
    assert count.after["tries"] == 5
    assert close(here.engine) == 0


def test_a_single_failure_gets_no_second_entry(here: PeopleConsole) -> None:
    fail(here.engine)
    here.run(A_MINUTE_LATER)

    close(here.engine)

    assert len(here.audited()) == 1


def test_the_number_is_added_at_the_next_login_too(here: PeopleConsole) -> None:
    fail(here.engine, "127.0.0.1", times=2)
    here.run(A_MINUTE_LATER)

    here.log_in()

    assert [entry.after and entry.after.get("tries") for entry in here.audited()] == [None, 2, None]


def test_consoles_that_close_at_once_add_one_entry(here: PeopleConsole) -> None:
    fail(here.engine, times=3)
    here.run(A_MINUTE_LATER)

    with ThreadPoolExecutor(2) as pool:
        closed = list(pool.map(lambda _: close(here.engine), range(4)))

    assert sum(closed) == 1
    assert len(here.audited()) == 2


def test_a_look_is_audited_once_for_a_person_a_subject_and_an_hour(here: PeopleConsole) -> None:
    assert look(here.engine, ADA, "evt_1")
    assert not look(here.engine, ADA, "evt_1")
    assert look(here.engine, ADA, "evt_2")
    assert look(here.engine, SUE, "evt_1")
    here.run(AN_HOUR_LATER)
    assert look(here.engine, ADA, "evt_1")

    entries = here.audited()
    assert [(entry.actor, entry.target_id) for entry in entries] == [
        ("console:ada", "evt_1"),
        ("console:ada", "evt_2"),
        ("console:sue", "evt_1"),
        ("console:ada", "evt_1"),
    ]
    assert {(entry.action, entry.target_type) for entry in entries} == {(LOOK, "event")}


def test_looks_at_once_from_several_consoles_are_one_entry(here: PeopleConsole) -> None:
    with ThreadPoolExecutor(2) as pool:
        added = list(pool.map(lambda _: look(here.engine, ADA, "evt_1"), range(6)))

    assert sum(added) == 1
    assert len(here.audited()) == 1


def test_a_look_that_is_rolled_back_leaves_nothing_behind(here: PeopleConsole) -> None:
    with here.engine.connect() as connection:
        record_look(connection, ADA, "event", "evt_1")
        connection.rollback()

    assert here.audited() == []
    assert look(here.engine, ADA, "evt_1")


def test_old_looks_are_forgotten_and_those_of_this_hour_are_not(here: PeopleConsole) -> None:
    look(here.engine, ADA, "evt_1")
    here.run("UPDATE console_audit_windows SET begins_at = begins_at - interval '3 hours'")
    look(here.engine, ADA, "evt_2")

    assert close(here.engine) == 1
    assert not look(here.engine, ADA, "evt_2")
