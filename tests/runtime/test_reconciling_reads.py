"""The newest comparisons as the database knows them, for the schedule, metrics and `doctor`."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from bench.backfill.twin import hear
from billing.ids import Realm
from models.stripe_runs import DIFFERENCE_CLASSES
from models.tables import DataLoss, StripeRun, StripeRunDifference
from ops.reconcile.differences import DifferenceClass
from runtime.database.engine import engine_for
from runtime.ledger.catalogues import install_first
from runtime.plans_file import read_plans_text
from runtime.reconciling import (
    GENERATED_LATE,
    ComparedPart,
    Disagreement,
    Loop,
    due_now,
    read_disagreement,
    read_past_runs,
)
from runtime.settings import Settings

pytestmark = pytest.mark.servers

LEASE = timedelta(seconds=30)
HOUR = timedelta(hours=1)


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    engine = engine_for(database, application_name="test")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def add_run(
    connection: Connection, *parts: ComparedPart, ago: timedelta = HOUR, **given: Any
) -> int:
    """Add a run of the schedule that ended, unless it is said otherwise."""
    said = {
        "parts": [*parts],
        "whole": given.pop("whole", True),
        "scheduled": given.pop("scheduled", True),
        "apply": given.pop("apply", []),
    }
    values = {
        "kind": "reconcile",
        "realm": "test",
        "actor": "schedule",
        "state": "done",
        "rate": 1.0,
        "started_at": sa.func.now() - ago,
        **given,
    }
    added = sa.insert(StripeRun).values(**values, said=said).returning(StripeRun.id)
    return int(connection.execute(added).scalar_one())


def add_difference(connection: Connection, run: int, name: str, classed: str, state: str) -> None:
    values = {"run": run, "name": name, "class": classed, "state": state}
    row = {**values, "family": "event", "says": "it never arrived here"}
    connection.execute(sa.insert(StripeRunDifference.__table__), [row])  # type: ignore[arg-type]


def standing(connection: Connection) -> dict[str, int]:
    found = read_disagreement(connection).differences
    return {classed: number for classed, number in found.items() if number}


def test_the_classes_of_the_table_are_those_of_the_code() -> None:
    assert set(DIFFERENCE_CLASSES) == set(DifferenceClass)


def test_nothing_is_known_before_the_first_run(connection: Connection) -> None:
    found = read_disagreement(connection)

    assert found == Disagreement(differences=dict.fromkeys(DIFFERENCE_CLASSES, 0))


def test_only_what_stands_or_is_left_in_the_newest_whole_run_counts(connection: Connection) -> None:
    older = add_run(connection, ComparedPart.OBJECTS, ago=2 * HOUR)
    add_difference(connection, older, "sub_0", "amounts", "stands")
    newest = add_run(connection, ComparedPart.OBJECTS)
    for name, state in enumerate(("moving", "stands", "repaired", "left")):
        add_difference(connection, newest, f"sub_{name + 1}", "other_price", state)
    of_one = add_run(connection, ComparedPart.OBJECTS, whole=False)
    add_difference(connection, of_one, "sub_9", "amounts", "stands")

    assert standing(connection) == {"other_price": 2}


def test_days_of_the_last_month_whose_totals_differ_are_counted(connection: Connection) -> None:
    today = connection.execute(sa.select(sa.func.current_date())).scalar_one()
    days = [{"day": str(today - timedelta(days=ago))} for ago in (2, 2, 9, 45)]
    add_run(connection, ComparedPart.OBJECTS, result={"days": days})
    add_run(connection, ComparedPart.EVENTS, result={"days": []})

    assert standing(connection) == {"differing_days": 2}


def test_a_difference_that_a_later_run_repaired_stands_no_more(connection: Connection) -> None:
    whole = add_run(connection, ComparedPart.OBJECTS)
    add_difference(connection, whole, "sub_1", "other_price", "stands")
    of_one = add_run(connection, ComparedPart.OBJECTS, whole=False)
    add_difference(connection, of_one, "sub_1", "other_price", "repaired")

    assert standing(connection) == {}


def test_an_event_that_arrived_later_is_missing_no_more(connection: Connection) -> None:
    run = add_run(connection, ComparedPart.EVENTS)
    add_difference(connection, run, "evt_1", "missing_event", "stands")
    before = standing(connection)
    connection.exec_driver_sql(
        "INSERT INTO stripe_events (id, type, livemode, created_at, received_at, outcome, attempts,"
        " payload, payload_sha256, realm, fingerprint, origin) VALUES ('evt_1', 'invoice.paid',"
        " false, now(), now(), 'applied', 1, '{}', '', 'test', '', 'stripe')"
    )

    assert (before, standing(connection)) == ({"missing_event": 1}, {})


def test_what_was_put_in_counts_for_a_day(connection: Connection) -> None:
    run = add_run(connection, ComparedPart.EVENTS)
    add_difference(connection, run, "evt_1", "missing_event", "repaired")
    within_a_day = read_disagreement(connection).put_in
    connection.exec_driver_sql(
        "UPDATE stripe_run_differences SET found_at = now() - interval '25 hours'"
    )

    assert (within_a_day, read_disagreement(connection).put_in) == (1, 0)


@pytest.mark.parametrize(
    ("part", "apply", "turns"),
    [
        (ComparedPart.EVENTS, [], 0),
        (ComparedPart.EVENTS, ["events", "objects"], 1),
        (ComparedPart.OBJECTS, [], 1),
    ],
)
def test_a_preview_of_events_by_a_person_is_no_turn_of_the_schedule(
    connection: Connection, part: ComparedPart, apply: list[str], turns: int
) -> None:
    add_run(connection, part, scheduled=False, apply=apply)

    past = read_past_runs(connection, lease=LEASE)

    assert [*past.by_loop] == [Loop(realm=Realm("test"), part=part)] * turns


def test_a_run_that_left_something_out_proves_no_agreement(connection: Connection) -> None:
    result = {"agrees": True, "whole": True, "not_compared": ["disputes: no right"]}
    add_run(connection, ComparedPart.OBJECTS, result=result)

    assert read_disagreement(connection).agreed_at is None


def test_both_agreed_when_a_whole_run_of_objects_found_nothing(connection: Connection) -> None:
    add_run(connection, ComparedPart.OBJECTS, result={"agrees": True, "whole": True}, ago=2 * HOUR)
    add_run(connection, ComparedPart.OBJECTS, result={"agrees": False, "whole": True})

    agreed_at = read_disagreement(connection).agreed_at
    now = connection.execute(sa.select(sa.func.now())).scalar_one()

    assert agreed_at is not None
    assert now - agreed_at == 2 * HOUR


def test_the_account_that_is_furthest_behind_says_how_old_a_part_is(connection: Connection) -> None:
    add_run(connection, ComparedPart.EVENTS, ago=HOUR)
    add_run(connection, ComparedPart.EVENTS, ago=3 * HOUR, realm="test/acct_1")

    found = read_disagreement(connection)
    (at,) = found.runs_at.values()
    now = connection.execute(sa.select(sa.func.now())).scalar_one()

    assert now - at == 3 * HOUR
    assert found.first_at == at


def test_a_run_is_tried_when_it_began_and_done_only_if_it_ended(connection: Connection) -> None:
    add_run(connection, ComparedPart.EVENTS, ago=3 * HOUR)
    add_run(connection, ComparedPart.EVENTS, state="failed")

    runs = read_past_runs(connection, lease=LEASE).by_loop
    (loop_runs,) = runs.values()

    assert loop_runs.done_at is not None
    assert loop_runs.tried_at is not None
    assert loop_runs.tried_at - loop_runs.done_at == 2 * HOUR
    assert loop_runs.first_at == loop_runs.done_at


def test_a_run_that_no_process_works_on_is_unfinished(connection: Connection) -> None:
    now = sa.func.now()
    add_run(connection, ComparedPart.EVENTS, state="running", owner="a", heartbeat_at=now)
    held = read_past_runs(connection, lease=LEASE).unfinished
    add_run(connection, ComparedPart.OBJECTS, state="running", owner="b", heartbeat_at=now - HOUR)

    found = read_past_runs(connection, lease=LEASE).unfinished
    assert (held, [each.part for each in found]) == ((), [ComparedPart.OBJECTS])


def test_a_run_that_was_given_back_rests_before_the_next_try(connection: Connection) -> None:
    minutes = sa.text("interval '10 minutes'")
    add_run(
        connection,
        ComparedPart.EVENTS,
        ago=3 * HOUR,
        state="running",
        heartbeat_at=sa.func.now() - minutes,
    )
    environ = {"STRIPE_API_KEY": "sk_test_1", "PAIDUP_LIVEMODE": "test"}
    settings = Settings.from_env(environ)

    resting = due_now(connection, settings, lease=LEASE)
    connection.exec_driver_sql("UPDATE stripe_runs SET heartbeat_at = now() - interval '2 hours'")
    rested = due_now(connection, settings, lease=LEASE)

    loop = Loop(realm=Realm("test"), part=ComparedPart.EVENTS)
    assert (loop in resting, loop in rested) == (False, True)


def test_an_open_report_of_lost_data_makes_events_doubtful(connection: Connection) -> None:
    loss = sa.insert(DataLoss).values(server="redis", complete=False, last_accept=7)
    connection.execute(loss)
    before = read_past_runs(connection, lease=LEASE)
    connection.execute(sa.update(DataLoss).values(closed_at=sa.func.now()))
    after = read_past_runs(connection, lease=LEASE)

    assert before.events_doubtful_at is not None
    assert (before.objects_doubtful_at, after.events_doubtful_at) == (None, None)


def test_a_backfill_that_ended_makes_both_doubtful(connection: Connection) -> None:
    add_run(connection, kind="backfill", ended_at=sa.func.now())

    past = read_past_runs(connection, lease=LEASE)

    assert past.events_doubtful_at is not None
    assert past.events_doubtful_at == past.objects_doubtful_at


def test_events_that_stripe_says_were_never_made_make_both_doubtful(database: str) -> None:
    said = {
        "id": "evt_1",
        "object": "v2.core.event",
        "type": GENERATED_LATE,
        "livemode": False,
        "created": "2026-11-30T08:00:00.000Z",
    }
    engine = engine_for(database, application_name="test")
    install_first(engine, read_plans_text(""), actor="tests", reason="tests")
    hear(engine, [json.dumps(said).encode()])
    with engine.connect() as connection:
        past = read_past_runs(connection, lease=LEASE)
    engine.dispose()

    assert past.objects_doubtful_at is not None
    assert past.events_doubtful_at == past.objects_doubtful_at


def test_nothing_is_due_by_a_schedule_that_is_off(connection: Connection) -> None:
    key = {"STRIPE_API_KEY": "sk_test_x"}
    off, on = (Settings.from_env({**key, "PAIDUP_RECONCILE": each}) for each in "01")

    assert due_now(connection, off, lease=LEASE) == ()
    assert Loop in {type(each) for each in due_now(connection, on, lease=LEASE)}
