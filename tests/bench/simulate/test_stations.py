"""The parts of a simulated machine follow the laws that are known of them."""

from collections.abc import Callable
from random import Random

import pytest

from bench.simulate.stations import FlushingServer, Processors, SimulatedClock

SECONDS = 0.002


def test_what_is_due_at_the_same_time_is_done_in_the_order_of_scheduling() -> None:
    clock, done = SimulatedClock(), list[str]()
    for name in ("first", "second"):
        clock.after(1.0, lambda name=name: done.append(name))  # type: ignore[misc]
    clock.after(0.5, lambda: done.append("earlier"))

    clock.run(2.0)

    assert (done, clock.now) == (["earlier", "first", "second"], 2.0)


def waits_of(processors: Processors, clock: SimulatedClock, rate: float, tasks: int) -> list[float]:
    """Let tasks come at random, and return how long each waited for its processor."""
    chance, waits = Random(1), list[float]()  # noqa: S311 - seeded

    def come(left: int) -> None:
        began = clock.now
        processors.use(SECONDS, lambda: waits.append(clock.now - began - SECONDS))
        if left:
            clock.after(chance.expovariate(rate), lambda: come(left - 1))

    come(tasks - 1)
    clock.run(float(tasks))
    return waits


@pytest.mark.parametrize("busy", [0.3, 0.7])
def test_the_mean_wait_for_a_processor_is_that_of_the_formula(busy: float) -> None:
    clock = SimulatedClock()
    rate = busy / SECONDS

    waits = waits_of(Processors(clock, 1), clock, rate, 50_000)

    # Pollaczek and Khinchine, for a service that always takes as long.
    assert sum(waits) / len(waits) == pytest.approx(busy * SECONDS / (2 * (1 - busy)), rel=0.05)


def test_a_processor_is_busy_for_the_part_of_time_that_its_tasks_take() -> None:
    clock = SimulatedClock()
    processors = Processors(clock, 2)

    waits_of(processors, clock, rate=100.0, tasks=3000)

    assert processors.busy_seconds == pytest.approx(3000 * SECONDS)


def test_two_processors_work_on_two_tasks_at_once_and_a_third_waits() -> None:
    clock, ended = SimulatedClock(), list[float]()
    processors = Processors(clock, 2)
    for _ in range(3):
        processors.use(SECONDS, lambda: ended.append(clock.now))

    clock.run(1.0)

    assert ended == [SECONDS, SECONDS, 2 * SECONDS]


def test_a_long_task_lets_a_short_one_have_its_turn() -> None:
    clock, ended = SimulatedClock(), list[str]()
    processors = Processors(clock, 1)
    processors.use(1.0, lambda: ended.append("long"))
    processors.use(SECONDS, lambda: ended.append("short"))

    clock.run(2.0)

    assert ended == ["short", "long"]


def asking(
    server: FlushingServer, clock: SimulatedClock, answered: list[float]
) -> Callable[..., None]:
    def ask(seconds: float = 0.0) -> None:
        server.ask(lambda: seconds, lambda: answered.append(round(clock.now, 9)))

    return ask


def test_requests_that_wait_share_the_next_flush() -> None:
    clock, answered = SimulatedClock(), list[float]()
    server = FlushingServer(clock, Processors(clock, 1), flush_seconds=1.0)
    ask = asking(server, clock, answered)

    ask()
    clock.after(0.2, ask)
    clock.after(0.4, ask)
    clock.run(10.0)

    assert (answered, server.flushes) == ([1.0, 2.0, 2.0], 2)


def test_requests_are_carried_out_one_after_the_other_before_they_are_flushed() -> None:
    clock, answered = SimulatedClock(), list[float]()
    server = FlushingServer(clock, Processors(clock, 1), flush_seconds=0.5)
    ask = asking(server, clock, answered)

    ask()
    for seconds in (0.25, 0.75):
        clock.after(0.1, lambda seconds=seconds: ask(seconds))  # type: ignore[misc]
    clock.run(10.0)

    assert answered == [0.5, 2.0, 2.0]
    assert server.busy_seconds == 1.0
