from collections import Counter

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import SCENARIOS
from ops.send.traffic import TrafficPlan


def plan(**wish: object) -> TrafficPlan:
    whole: dict[str, object] = {
        "scenarios": ("first_paid", "onetime"),
        "shapes": (Shape.OLD, Shape.NEW),
        "seed": "s",
        "now": 1_795_300_000,
        "count": 4,
    }
    return TrafficPlan(**{**whole, **wish})  # type: ignore[arg-type]


def test_scenarios_and_shapes_take_turns() -> None:
    composed = [(lifecycle.name, lifecycle.shape) for lifecycle in plan(count=5).lifecycles()]

    assert composed == [
        ("first_paid", "old"),
        ("first_paid", "new"),
        ("onetime", "old"),
        ("onetime", "new"),
        ("first_paid", "old"),
    ]


def test_every_lifecycle_has_a_user_and_ids_of_its_own() -> None:
    lifecycles = list(plan(count=9).lifecycles())

    assert len({lifecycle.expected.user_id for lifecycle in lifecycles}) == 9
    events = [event.id for lifecycle in lifecycles for event in lifecycle.events]
    assert len(events) == len(set(events))


def test_the_plan_knows_how_much_it_will_send() -> None:
    mixed = plan(count=7, duplicates=2)

    assert mixed.deliveries == len(list(mixed.events())) == 3 * (12 + 13 + 5 + 5 + 12 + 13 + 5)


def test_shuffling_is_repeatable_and_loses_nothing() -> None:
    straight = [event.id for event in plan().events()]
    mixed = [event.id for event in plan(shuffle=3).events()]

    assert mixed == [event.id for event in plan(shuffle=3).events()]
    assert mixed != [event.id for event in plan(shuffle=4).events()]
    assert mixed != straight
    assert sorted(mixed) == sorted(straight)


def test_duplicates_repeat_every_event() -> None:
    assert set(Counter(event.id for event in plan(duplicates=2).events()).values()) == {3}


def test_what_a_shape_never_had_is_left_out() -> None:
    ancient = plan(scenarios=tuple(SCENARIOS), shapes=(Shape.ANCIENT,)).once_each()

    assert [lifecycle.name for lifecycle in ancient.lifecycles()] == [
        "first_paid",
        "renewal",
        "cancel_at_period_end",
        "past_due_recovered",
    ]
    assert not plan(scenarios=("onetime",), shapes=(Shape.ANCIENT,)).kinds
