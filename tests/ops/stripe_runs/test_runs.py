"""One process at a time works on a run, and a run that was killed goes on."""

import subprocess
import sys
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from models.tables import StripeRun
from ops.stripe_runs.runs import RunLost, RunUnderWay, cancel
from tests.ops.stripe_runs.walk_builders import run_of

pytestmark = pytest.mark.servers


def row(engine: Engine, run: int) -> Any:
    with engine.connect() as connection:
        return connection.execute(sa.select(StripeRun).where(StripeRun.id == run)).one()


def change(engine: Engine, run: int, **values: object) -> None:
    with engine.begin() as connection:
        connection.execute(sa.update(StripeRun).where(StripeRun.id == run).values(**values))


def test_a_second_process_is_refused_with_the_name_of_the_first(engine: Engine) -> None:
    run = run_of(engine, since="2026")

    with pytest.raises(RunUnderWay, match=rf"run {run.id} is under way: process \d+ on"):
        run_of(engine, since="2026")


def test_a_run_that_said_something_else_is_another_one(engine: Engine) -> None:
    first, second = run_of(engine, since="2026"), run_of(engine, since="2025")

    assert first.id != second.id
    assert not second.resumed


def test_a_run_whose_process_is_gone_goes_on_at_once(engine: Engine) -> None:
    first = run_of(engine)
    first.counts["customers"] = 7
    first.requests = 3
    with engine.begin() as connection:
        first.beat(connection)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host, _, token = first.owner.split(":")
    change(engine, first.id, owner=f"{host}:{gone.pid}:{token}")

    again = run_of(engine)

    assert (again.id, again.resumed) == (first.id, True)
    assert (again.counts, again.requests) == ({"customers": 7}, 3)


def test_a_run_of_another_machine_goes_on_after_its_lease(engine: Engine) -> None:
    first = run_of(engine)
    change(engine, first.id, owner="elsewhere:1:token")
    with pytest.raises(RunUnderWay):
        run_of(engine)
    an_hour_ago = sa.func.now() - sa.text("interval '1 hour'")
    change(engine, first.id, heartbeat_at=an_hour_ago)

    again = run_of(engine)

    assert again.id == first.id
    with engine.begin() as connection, pytest.raises(RunLost):
        first.beat(connection)


def test_a_run_that_was_given_back_goes_on_at_once(engine: Engine) -> None:
    first = run_of(engine)
    first.requests = 5
    first.release(engine)

    again = run_of(engine)

    assert (again.id, again.requests) == (first.id, 5)


def test_a_run_that_ended_is_not_begun_again(engine: Engine) -> None:
    run = run_of(engine)
    with engine.begin() as connection:
        run.end(connection, "done", None, {"agrees": True})

    ended = row(engine, run.id)

    assert (ended.state, ended.result, ended.owner) == ("done", {"agrees": True}, None)
    assert ended.ended_at is not None
    assert run_of(engine).id != run.id
    with engine.begin() as connection, pytest.raises(RunLost):
        run.beat(connection)


def test_a_cancelled_run_stores_nothing_more(engine: Engine) -> None:
    run = run_of(engine)

    assert cancel(engine, run.id, "the wrong account")

    assert (row(engine, run.id).state_reason, row(engine, run.id).state) == (
        "the wrong account",
        "cancelled",
    )
    with engine.begin() as connection, pytest.raises(RunLost, match="paidup runs list"):
        run.beat(connection)
    assert not cancel(engine, run.id, "twice")
