"""Measure what live events cost beside the preview of a plan, and what they cost without one.

The supervisor of the worker runs the preview as it does for people: in a process of its own with a
low priority, which rests while live events arrive. In each round events come at a steady rate, once
without a preview and once beside one. The processor time is that of the processes that an event
passes: ingest, Redis, the pool child of the worker, and its backends in PostgreSQL. The backends of
the preview are others. Ratios are taken round by round.

An event costs less in a larger transaction, and transactions grow while a worker waits for a
processor. So their size stands beside the costs.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Final, NamedTuple, TypeVar

import psycopg
from rich.table import Table
from sqlalchemy import Engine

from bench import costs, measures, mixes
from bench.costs import ProcessEnded
from bench.growth.system import pool_children
from bench.machine import BenchMachine
from bench.mixes import Bodies
from ops.bulk import control
from ops.up.stack import Stack

Measured = TypeVar("Measured")

WORKER: Final = "worker"
MOST: Final = 1.1
"""The goal: the worker's time for an event beside a preview, by that without one."""

_PREVIEWED: Final = "SELECT previewed FROM bulk_plans WHERE id = %s"
_TRANSACTIONS: Final = (
    "SELECT count(DISTINCT xmin::text) FROM stripe_events WHERE received_at >= %s"
)
_OF_JOBS: Final = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'paidup jobs'"
)


class LiveScale(NamedTuple):
    """The events that arrive in a second, how long they do, and how often that is measured."""

    rate: int
    seconds: int
    rounds: int


class LiveCost(NamedTuple):
    """Microseconds of processor time for one event by kind of process, and the median lag in ms.

    ``batch`` is the number of events in a transaction.
    """

    processes: Mapping[str, float]
    lag: float
    batch: float

    def figures(self) -> dict[str, float]:
        """Return all figures by the names that the table gives them."""
        together = sum(self.processes.values())
        named = {f"{name}, us": time for name, time in self.processes.items()}
        rest = {"median lag, ms": self.lag, "events in a transaction": self.batch}
        return {**named, "together, us": together, **rest}


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRound:
    """One round; ``previewed`` is what the preview did in a second beside the events."""

    alone: LiveCost
    beside: LiveCost
    previewed: float

    @property
    def of_worker(self) -> float:
        """The worker's time beside the preview, by that without one."""
        return self.beside.processes[WORKER] / self.alone.processes[WORKER]


Measure = Callable[[str], LiveCost]
"""Measures events that no earlier call sent; the text names them."""

MeasureBeside = Callable[[str], tuple[LiveCost, float]]


def by_turns(rounds: int, alone: Measure, beside: MeasureBeside) -> list[LiveRound]:
    """Measure both in each round, the other one first in every next; a round before warms up.

    Raises:
        ProcessEnded: a process was replaced in two measurements, one after the other.
    """
    found = []
    for number in range(rounds + 1):
        name = f"live {number}"
        before = _measured(alone, name) if number % 2 else None
        there, previewed = _measured(beside, f"{name} beside")
        now = before or _measured(alone, name)
        found.append(LiveRound(alone=now, beside=there, previewed=previewed))
    return found[1:]


def _measured(measure: Callable[[str], Measured], name: str) -> Measured:
    """Measure, and again with other events if a process was replaced meanwhile.

    A backend is, whose connection has become old.
    """
    try:
        return measure(name)
    except ProcessEnded:
        return measure(f"{name} again")


def is_good(rounds: Sequence[LiveRound]) -> bool:
    """Return True if the median round meets the goal."""
    return median(each.of_worker for each in rounds) <= MOST


def shown(
    scale: LiveScale,
    rounds: Sequence[LiveRound],
    *,
    beside: str = "beside a preview",
    done: str = "previewed",
) -> Table:
    """Return the medians of all figures, and their ratios: the median, the least and the most.

    ``beside`` names what went on meanwhile, ``done`` what it did.
    """
    table = Table(
        "a live event",
        *("alone", beside, "ratio", "least", "most"),
        title=f"{scale.rate} live events in a second, {scale.rounds} rounds of {scale.seconds} s",
    )
    pairs = [(each.alone.figures(), each.beside.figures()) for each in rounds]
    for name in pairs[0][0]:
        both = [(alone[name], there[name]) for alone, there in pairs]
        ratios = [there / alone for alone, there in both]
        medians = [f"{median(each):.4g}" for each in zip(*both, strict=True)]
        spread = [f"{each:.2f}" for each in (median(ratios), min(ratios), max(ratios))]
        table.add_row(name, *medians, *spread)
    previewed = median(each.previewed for each in rounds)
    table.add_row(f"{done} in a second", "", f"{previewed:.0f}")
    return table


class LiveTraffic:
    """Live events for a running stack of one worker process, and a plan to preview beside them."""

    def __init__(
        self, servers: BenchMachine, running: Stack, engine: Engine, plan: int, scale: LiveScale
    ) -> None:
        self._servers = servers
        self._running = running
        self._engine = engine
        self._plan = plan
        self._scale = scale

    def alone(self, name: str) -> LiveCost:
        """Send events, and return what one cost and how long it took.

        Raises:
            NotTaken: some were refused.
            ProcessEnded: a process was replaced meanwhile.
        """
        return self._cost(self._bodies(name))

    def beside(self, name: str) -> tuple[LiveCost, float]:
        """Do the same while the plan is previewed, and return how many events a second of it had.

        Raises:
            PlanRefused: the preview ended before the live events did.
            ProcessEnded: a process was replaced meanwhile.
        """
        bodies = self._bodies(name)
        control.start_preview(self._engine, self._plan)
        measures.wait(lambda: self.asked(_PREVIEWED, self._plan) > 0)
        before, began = self.asked(_PREVIEWED, self._plan), time.monotonic()
        try:
            cost = self._cost(bodies)
            previewed, seconds = self.asked(_PREVIEWED, self._plan), time.monotonic() - began
        finally:
            control.stop_preview(self._engine, self._plan)
            measures.wait(lambda: self.asked(_OF_JOBS) == 0)
        return cost, (previewed - before) / seconds

    def _bodies(self, name: str) -> Bodies:
        return mixes.first(self._scale.rate * self._scale.seconds, name)

    def _cost(self, bodies: Bodies) -> LiveCost:
        kinds, began = self._processes(), datetime.now(UTC)
        before = {kind: costs.exact_seconds(pids) for kind, pids in kinds.items()}
        _, (middle, _) = measures.lag(self._running, bodies, self._scale.rate)
        used = {kind: costs.exact_seconds(pids) - before[kind] for kind, pids in kinds.items()}
        times = {kind: seconds / len(bodies) * 1e6 for kind, seconds in used.items()}
        batch = len(bodies) / self.asked(_TRANSACTIONS, began)
        return LiveCost(processes=times, lag=middle, batch=batch)

    def _processes(self) -> dict[str, list[int]]:
        children = pool_children(self._running.database_url)
        passed = costs.processes(self._servers, self._running)
        return {
            "ingest": passed["ingest"],
            "Redis": passed["redis"],
            WORKER: [*children],
            "its PostgreSQL": [pid for backends in children.values() for pid in backends],
        }

    def asked(self, query: str, *values: object) -> int:
        """Return the whole number that a query of the stack's database answers."""
        with psycopg.connect(self._running.database_url) as connection:
            row = connection.execute(query.encode(), values).fetchone()
        return int(row[0]) if row else 0
