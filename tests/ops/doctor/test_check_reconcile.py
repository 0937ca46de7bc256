"""Findings about comparisons with Stripe."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Connection

from ops.doctor.check_reconcile import check_reconcile
from runtime.database.engine import engine_for
from runtime.reconciling import ComparedPart
from runtime.settings import Settings
from tests.runtime.test_reconciling_reads import add_difference, add_run

pytestmark = pytest.mark.servers

KEY = {"STRIPE_API_KEY": "sk_test_x"}


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    engine = engine_for(database, application_name="test")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def findings(connection: Connection, **environ: str) -> list[tuple[str, str]]:
    found = check_reconcile(connection, Settings.from_env({**KEY, **environ}))
    return [(str(each.state), each.says) for each in found]


def test_a_deployment_that_has_just_begun_is_fine(connection: Connection) -> None:
    assert findings(connection) == [("ok", "none yet: a worker begins within minutes")]


@pytest.mark.parametrize(
    ("environ", "says"),
    [({"PAIDUP_RECONCILE": "0"}, "PAIDUP_RECONCILE is 0"), ({}, "none without STRIPE_API_KEY")],
)
def test_it_says_if_nothing_is_compared(
    connection: Connection, environ: dict[str, str], says: str
) -> None:
    settings = Settings.from_env({**(KEY if environ else {}), **environ})

    (found,) = check_reconcile(connection, settings)

    assert found.says.startswith(says)


@pytest.mark.parametrize(
    ("classed", "state"), [("missing_event", "warning"), ("paid_not_granted", "problem")]
)
def test_differences_that_stand_are_named(connection: Connection, classed: str, state: str) -> None:
    part = ComparedPart.EVENTS if classed == "missing_event" else ComparedPart.OBJECTS
    run = add_run(connection, part, ago=timedelta(minutes=1))
    add_difference(connection, run, "x_1", classed, "stands")

    ((found, says),) = findings(connection)

    assert found == state
    assert f"1 difference (1 {classed.replace('_', ' ')})" in says
    assert "`paidup reconcile show`" in says


def test_the_newest_run_that_failed_says_why(connection: Connection) -> None:
    add_run(connection, ComparedPart.EVENTS)
    add_run(connection, ComparedPart.EVENTS, state="failed", state_reason="the key is wrong")

    assert findings(connection) == [
        ("warning", "the newest one of the schedule failed: the key is wrong")
    ]


def test_a_part_that_is_late_is_named(connection: Connection) -> None:
    add_run(connection, ComparedPart.OBJECTS)
    add_run(connection, ComparedPart.EVENTS, ago=timedelta(days=3))

    ((state, says),) = findings(connection)

    assert state == "warning"
    assert says.startswith("events were last compared ")
