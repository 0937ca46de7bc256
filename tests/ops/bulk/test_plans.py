"""Plans: what they select, that a key gives one plan, and what changes their fingerprint."""

import random
from typing import Any

import pytest
import sqlalchemy as sa

from billing.envelope import parse
from models.tables import BulkItem, BulkPlan
from ops.bulk.plans import (
    DISCARD,
    REPLAY,
    PlanRefused,
    fingerprint_of,
    list_plans,
    make_plan,
    read_items,
)
from ops.bulk.targets import Selection, Target
from ops.errors import CommandFailed
from ops.queries.events import EventFilter
from runtime.idempotency import KeyReused
from tests.ops.bulk.plan_builders import items_now, plan_now, planned, request_of
from tests.ops.ops_env import OpsEnv, yesterday

pytestmark = pytest.mark.servers


@pytest.fixture
def mixed(floor: OpsEnv, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[str]]:
    """Take in a purchase of which the first events are settled and the others dead letters."""
    *first, second, third = floor.books.compose("onetime").events
    settled = floor.take_in(*first)
    with yesterday(monkeypatch, unreadable=True):
        return settled, floor.take_in(second, third)


def test_a_plan_of_everything_has_dead_letters_first_and_each_event_once(
    floor: OpsEnv, mixed: tuple[list[str], list[str]]
) -> None:
    settled, dead = mixed

    plan = planned(floor)

    items = items_now(floor, plan)
    assert {item.key for item in items[: len(dead)]} == set(dead)
    assert [item.key for item in items[len(dead) :]] == settled
    assert [item.letter_state for item in items] == ["open"] * len(dead) + [None] * len(settled)
    assert [item.position for item in items] == [*range(1, plan.items + 1)]
    assert (plan.state, plan.actor, plan.items) == ("planned", "console:ada", len(items))
    assert floor.audited("bulk_plan.made") == [("console:ada", "1", "its reader was mended")]


def test_the_body_hash_of_a_dead_letter_is_that_of_the_settled_event(
    floor: OpsEnv, mixed: tuple[list[str], list[str]]
) -> None:
    _, dead = mixed
    before = {item.key: item.body_sha256 for item in items_now(floor, planned(floor))}
    bodies = [floor.letter(key).payload.encode() for key in dead]
    floor.books.settle((parse(body) for body in bodies), origin="replay")

    after = {item.key: item.body_sha256 for item in items_now(floor, planned(floor))}

    assert after == before


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (EventFilter(outcome="applied"), "settled"),
        (EventFilter(outcome="dead"), "dead"),
        (EventFilter(error="UnreadableEvent"), "dead"),
        (EventFilter(user="usr_1"), "both"),
    ],
)
def test_a_filter_selects_what_the_command_would_select(
    floor: OpsEnv, mixed: tuple[list[str], list[str]], wanted: EventFilter, expected: str
) -> None:
    settled, dead = mixed
    applied = floor.scalars("SELECT id FROM stripe_events WHERE outcome = 'applied'")
    of_user = {*settled, *dead} if expected == "both" else set(dead)

    plan = planned(floor, request_of(Selection(ids=(), wanted=wanted)))

    keys = {item.key for item in items_now(floor, plan)}
    if expected == "both":
        assert keys <= of_user
        assert keys & set(dead)
    else:
        assert keys == (set(applied) if expected == "settled" else set(dead))


def test_a_plan_without_an_event_is_refused_and_leaves_nothing(floor: OpsEnv) -> None:
    with pytest.raises(PlanRefused, match="no event matches"):
        make_plan(floor.engine, request_of(action=DISCARD))

    assert floor.scalars("SELECT count(*) FROM bulk_plans") == [0]


def test_an_unknown_id_stops_the_plan(floor: OpsEnv, mixed: Any) -> None:
    named = Selection(ids=("evt_unknown",), wanted=EventFilter())
    with pytest.raises(CommandFailed, match="evt_unknown"):
        make_plan(floor.engine, request_of(named))

    assert floor.scalars("SELECT count(*) FROM bulk_plans") == [0]


def test_the_same_key_of_the_same_person_gives_the_same_plan(floor: OpsEnv, mixed: Any) -> None:
    first = make_plan(floor.engine, request_of(), key="form-1")
    again = make_plan(floor.engine, request_of(), key="form-1")
    with pytest.raises(KeyReused):
        make_plan(floor.engine, request_of(action=DISCARD), key="form-1")

    assert (again.result, again.repeated) == (first.result, True)
    assert floor.scalars("SELECT count(*) FROM bulk_plans") == [1]


def test_pages_of_plans_and_items_miss_nothing(floor: OpsEnv, mixed: Any) -> None:
    plans = [planned(floor) for _ in range(3)]

    with floor.engine.connect() as connection:
        newest = list_plans(connection, limit=2)
        rest = list_plans(connection, limit=2, before=newest[-1].id)
        first = read_items(connection, plans[0].id, limit=2)
        second = read_items(connection, plans[0].id, limit=1000, after=first[-1].position)

    assert [plan.id for plan in (*newest, *rest)] == [plan.id for plan in reversed(plans)]
    assert [*first, *second] == items_now(floor, plans[0])


def test_the_fingerprint_depends_on_the_set_and_not_on_its_order_or_the_world(
    floor: OpsEnv, mixed: tuple[list[str], list[str]]
) -> None:
    settled, dead = mixed
    targets = [
        *(Target(key=key, is_dead_letter=False) for key in settled),
        *(Target(key=key, is_dead_letter=True) for key in dead),
    ]
    chance = random.Random(18)  # noqa: S311 - an order of a test
    found = set()
    for _ in range(5):
        chance.shuffle(targets)
        found.add(planned(floor, request_of(tuple(targets))).fingerprint)
    everything = planned(floor)
    fewer = planned(floor, request_of(tuple(targets[1:])))

    assert found == {everything.fingerprint}
    assert fewer.fingerprint != everything.fingerprint


@pytest.mark.parametrize(
    ("column", "value"),
    [("key", "evt_other"), ("body_sha256", "00"), ("letter_state", "discarded")],
)
def test_each_part_of_an_item_changes_the_fingerprint(
    floor: OpsEnv, mixed: Any, column: str, value: str
) -> None:
    plan = planned(floor)
    with floor.engine.begin() as connection:
        before = fingerprint_of(connection, plan.id)
        one = sa.update(BulkItem).where(BulkItem.plan == plan.id, BulkItem.position == 1)
        connection.execute(one.values(state="done", said="effects are no part of it"))
        assert fingerprint_of(connection, plan.id) == before == plan.fingerprint
        connection.execute(one.values({column: value}))

        assert fingerprint_of(connection, plan.id) != before


@pytest.mark.parametrize(
    "changed", [{"action": DISCARD}, {"catalogue_version": 99}, {"release": "0.0"}]
)
def test_action_catalogue_and_release_change_the_fingerprint(
    floor: OpsEnv, mixed: Any, changed: dict[str, Any]
) -> None:
    plan = planned(floor)
    assert plan.action == REPLAY
    with floor.engine.begin() as connection:
        connection.execute(sa.update(BulkPlan).values(**changed))

        assert fingerprint_of(connection, plan.id) != plan.fingerprint
    assert plan_now(floor, plan.id).fingerprint == plan.fingerprint
