"""Every lifecycle, in both API shapes, ends as expected: in order, shuffled, and repeated.

Each run uses a new random order; a failure names the seed that repeats it.
"""

from collections.abc import Callable
from random import Random

import pytest

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose, scenarios_in
from ops.samples.scenario import Event
from tests.system.stack_env import StackUnderTest

pytestmark = pytest.mark.servers

Arrangement = Callable[[list[Event], Random], list[Event]]

EVERY_LIFECYCLE = [
    pytest.param(name, shape, id=f"{name}-{shape}")
    for shape in Shape
    for name in scenarios_in(shape)
]


def in_order(events: list[Event], _chance: Random) -> list[Event]:
    return events


def shuffled(events: list[Event], chance: Random) -> list[Event]:
    return chance.sample(events, len(events))


def backwards_and_doubled(events: list[Event], _chance: Random) -> list[Event]:
    return [event for event in reversed(events) for _ in range(2)]


def shuffled_and_tripled(events: list[Event], chance: Random) -> list[Event]:
    return chance.sample(events * 3, 3 * len(events))


@pytest.mark.parametrize(
    "arrange", [in_order, shuffled, backwards_and_doubled, shuffled_and_tripled]
)
@pytest.mark.parametrize(("name", "shape"), EVERY_LIFECYCLE)
def test_a_lifecycle_ends_as_expected(
    name: str, shape: Shape, arrange: Arrangement, system: StackUnderTest, now: int
) -> None:
    seed = f"{now}/{arrange.__name__}"
    lifecycle = compose(name, shape=shape, seed=seed, now=now)
    chance = Random(seed)  # noqa: S311 - a seeded order

    answers = [system.post(e.body) for e in arrange(list(lifecycle.events), chance)]
    system.await_settled(event.id for event in lifecycle.events)

    assert all(answer.taken for answer in answers)
    # What ingest stored before its 503 is a duplicate when it is sent again.
    again = sum(answer.attempts > 1 for answer in answers)
    accepted = [answer.status for answer in answers].count(202)
    assert len(lifecycle.events) - again <= accepted <= len(lifecycle.events), seed
    assert (seed, system.differences(lifecycle.expected)) == (seed, ())
    assert system.observe(lifecycle.expected.user_id).audit or name == "checkout_expired"
