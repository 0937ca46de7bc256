"""The worlds themselves: coherent, repeatable, and true to the bank."""

from collections import Counter

import pytest

from ops.samples.worlds.plots import PLOTS
from ops.samples.worlds.releases import ApiRelease
from ops.samples.worlds.scenarios import SCENARIOS, play_scenario
from ops.samples.worlds.truth.evidence import AmbiguousWorldError
from ops.samples.worlds.truth.rules import RULES
from ops.samples.worlds.world import World, draw_plan, play, play_until, without
from tests.worlds.compare import bank_differences, scenario_differences

SEEDS = [f"tests/{number}" for number in range(150)]


def played(seed: str) -> World | None:
    try:
        return play(draw_plan(seed))
    except AmbiguousWorldError:
        return None


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    return [world for seed in SEEDS if (world := played(seed))]


def test_few_worlds_are_dropped_because_the_rules_leave_them_open(worlds: list[World]) -> None:
    assert len(worlds) > len(SEEDS) * 0.9


def test_an_endpoint_that_heard_everything_knows_what_the_bank_saw(worlds: list[World]) -> None:
    whole = [world for world in worlds if not any(each.missed for each in world.accounts)]

    assert len(whole) > len(SEEDS) * 0.2
    assert [found for world in whole for found in bank_differences(world)] == []


def test_one_seed_gives_the_same_bytes_again(worlds: list[World]) -> None:
    again = [played(world.plan.seed) for world in worlds[:20]]

    assert [world and world.events for world in again] == [world.events for world in worlds[:20]]


def test_a_dropped_move_leaves_the_events_of_earlier_moves_alone(worlds: list[World]) -> None:
    for world in worlds[:20]:
        last = len(world.plan.moves) - 1
        try:
            shorter = play(without(world.plan, [last]))
        except AmbiguousWorldError:
            continue
        bodies = {event.body for event in world.events}
        assert {event.body for event in shorter.events} <= bodies


def test_worlds_state_their_events_in_every_api_version(worlds: list[World]) -> None:
    stated = Counter(event.payload["api_version"] for world in worlds for event in world.events)

    assert set(stated) == set(ApiRelease)


def test_an_intent_was_before_what_an_intent_may_be(worlds: list[World]) -> None:
    changes = [event.payload["data"] for world in worlds for event in world.events]
    statuses = {
        each["previous_attributes"]["status"]
        for each in changes
        if each["object"]["object"] == "payment_intent"
        and "status" in each.get("previous_attributes", {})
    }

    assert statuses <= {"requires_payment_method", "requires_capture", "processing", "succeeded"}


def test_event_ids_are_unique_and_times_do_not_run_back(worlds: list[World]) -> None:
    for world in worlds:
        ids = [event.id for event in world.events]
        assert len(ids) == len(set(ids))
        for account in world.accounts:
            times = [event.created for event in account.events]
            assert times == sorted(times)


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_the_truth_of_a_scenario_is_what_its_report_must_end_in(name: str) -> None:
    assert scenario_differences(name, play_scenario(name)) == []


def test_a_scenario_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(LookupError, match="use one of affiliate-reference-one-time"):
        play_scenario("no-such-scenario")


def test_most_rules_are_exercised_even_by_few_worlds(worlds: list[World]) -> None:
    exercised = set[str]().union(*(world.rules for world in worlds))

    assert exercised <= set(RULES)
    assert len(exercised) > len(RULES) * 0.9


def test_every_plot_is_drawn(worlds: list[World]) -> None:
    drawn = {move.name for world in worlds for move in world.plan.moves}

    assert set(PLOTS) <= drawn


def test_a_world_that_ends_at_a_moment_is_the_same_world_at_another_time() -> None:
    plan = draw_plan("tests/0")
    usual, moved = play(plan), play_until(plan, 1_900_000_000)

    assert moved.now == 1_900_000_000
    assert [event.type for event in moved.events] == [event.type for event in usual.events]
    assert [end.features for end in moved.ends] == [end.features for end in usual.ends]
