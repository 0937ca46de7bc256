"""Kept objects come back by holder, in turns, until they are released."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text

from billing.fetching.observations import ApiObservation
from ops.backfill import held_objects
from ops.backfill.held_objects import (
    HeldObject,
    count_held,
    forget_ended,
    held,
    hold,
    holder_of,
    join_holders,
    release,
)
from runtime.database.engine import engine_for

NOW = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    yield engine
    engine.dispose()


def kept(holder: str, name: str, payload: str = "{}", family: str = "invoice") -> HeldObject:
    observation = ApiObservation(
        family=family,
        object_id=name,
        asked_at=NOW,
        api_version=None,
        gone=False,
        payload=payload,
    )
    return HeldObject(list="invoices", holder=holder, observation=observation)


def names(found: list[HeldObject]) -> list[str]:
    return [each.observation.object_id for each in found]


@pytest.mark.parametrize(
    ("raw", "holder"),
    [
        ({"id": "pi_1", "customer": "cus_1"}, "cus_1"),
        ({"id": "ch_1", "customer": None, "payment_intent": "pi_1"}, "pi_1"),
        ({"id": "re_1", "charge": "ch_1"}, "ch_1"),
        ({"id": "cn_1", "invoice": {"id": "in_1"}}, "in_1"),
        ({"id": "ch_2"}, "ch_2"),
    ],
)
def test_objects_of_one_customer_or_payment_are_held_together(
    raw: dict[str, Any], holder: str
) -> None:
    assert holder_of(raw) == holder


@pytest.mark.servers
def test_holders_come_whole_and_in_turns(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_objects, "AT_ONCE", 3)
    shown = [kept("cus_2", f"in_{number}") for number in range(4)]
    with engine.begin() as connection:
        hold(connection, 1, [*shown, kept("cus_1", "in_9"), kept("cus_3", "in_8")])
        hold(connection, 2, [kept("cus_1", "in_7")])

        first = held(connection, 1, after="")
        release(connection, 1, first)
        second = held(connection, 1, after=first[-1].holder)
        release(connection, 1, second)
        third = held(connection, 1, after=second[-1].holder)

        assert names(first) == ["in_9"]
        assert names(second) == ["in_0", "in_1", "in_2"]
        assert names(third) == ["in_3", "in_8"]
        assert count_held(connection, 1) == 2


@pytest.mark.servers
def test_an_object_that_is_shown_again_is_kept_as_it_was_shown_last(engine: Engine) -> None:
    with engine.begin() as connection:
        hold(connection, 1, [kept("cus_1", "in_1", '{"a":1}')])
        hold(connection, 1, [kept("cus_1", "in_1", '{"a":2}')])

        (found,) = held(connection, 1, after="")

    assert found == kept("cus_1", "in_1", '{"a":2}')


@pytest.mark.servers
def test_runs_that_ended_hold_nothing(engine: Engine) -> None:
    begun = text(
        "INSERT INTO stripe_runs (kind, realm, actor, said, state, rate)"
        " VALUES ('backfill', 'test', 'cli:a', '{}', :state, 1) RETURNING id"
    )
    with engine.begin() as connection:
        running = int(connection.execute(begun, {"state": "running"}).scalar_one())
        ended = int(connection.execute(begun, {"state": "cancelled"}).scalar_one())
        for run in (running, ended):
            hold(connection, run, [kept("cus_1", "in_1")])

        forget_ended(connection)

        assert (count_held(connection, running), count_held(connection, ended)) == (1, 0)


def test_what_names_no_customer_is_held_by_that_of_the_payment_it_names(engine: Engine) -> None:
    shown = [
        kept("cus_1", "pi_1"),
        kept("pi_1", "ch_1"),
        kept("ch_1", "re_1"),
        kept("pi_2", "pi_2"),
        kept("pi_2", "re_2"),
        kept("pi_3", "re_3"),
    ]
    with engine.begin() as connection:
        hold(connection, 1, shown)
        hold(connection, 2, [kept("cus_9", "pi_3")])
        join_holders(connection, 1)
        found = {each.observation.object_id: each.holder for each in held(connection, 1, after="")}

    customers = {"pi_1": "cus_1", "ch_1": "cus_1", "re_1": "cus_1"}
    assert found == customers | {"pi_2": "pi_2", "re_2": "pi_2", "re_3": "pi_3"}


def test_of_a_holder_refunds_come_before_charges_and_charges_before_payments(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_objects, "AT_ONCE", 2)
    families = {"in_1": "invoice", "pi_1": "payment_intent", "re_1": "refund", "ch_1": "charge"}
    with engine.begin() as connection:
        hold(
            connection, 1, [kept("cus_1", name, family=family) for name, family in families.items()]
        )
        first = held(connection, 1, after="")
        release(connection, 1, first)
        second = held(connection, 1, after="cus_1")

    assert names(first) + names(second) == ["re_1", "ch_1", "pi_1", "in_1"]
