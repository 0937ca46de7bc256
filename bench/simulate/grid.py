"""Simulate many installations: each rate with each number of workers, and the least that suffices.

Ingest has as many processes as its rate needs, since more of them cost nothing but their memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from statistics import quantiles
from typing import Any, Final, Self

from bench.simulate.arrivals import ArrivalPlan
from bench.simulate.model import Machines, SimulatedFigures, Simulation
from bench.simulate.times import ServiceTimes

RATES: Final = (100, 1000, 5000, 10_000, 20_000)
"""Events per second."""

WORKERS: Final = (1, 2, 4, 8, 16, 32, 50)
NEEDED_AT: Final = (100, 300, 1000, 3000, 5000, 10_000)
DISTANCES_MS: Final = (0.2, 0.5, 2.0)
"""Of a round trip to PostgreSQL."""

USUAL_DISTANCE_MS: Final = 0.5
POSTGRESQL: Final = 8
"""Processors of PostgreSQL."""

MOST_AGE_SECONDS: Final = 10.0
"""The age below which the oldest due event stays if there are enough workers."""

_KEEPS_UP: Final = 0.97
_INGEST_SHARE: Final = 0.6
"""How busy a process of ingest may be."""

_WARMING_SECONDS: Final = 2
_SECONDS: Final = 10
"""One burst, and the time until the next one."""
_MOST_WORKERS: Final = WORKERS[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCell:
    """One installation at one rate; lags in ms, ages in s, and how busy each part is."""

    rate: int
    workers: int
    distance_ms: float
    arrived: float
    settled: float
    events_of_batch: float
    lag_p50: float
    lag_p95: float
    lag_p99: float
    age_p50: float
    age_p99: float
    age_most: float
    ingest: float
    """Processors."""
    redis: float
    """The part of its one processor."""
    postgresql: float
    """Processors."""
    workers_processors: float
    """Processors; a worker also waits for answers."""
    workers_busy: float
    """The part of their time in which workers have a batch."""

    @classmethod
    def read(cls, stored: dict[str, Any]) -> Self:
        """Return the cell that ``row`` wrote."""
        return cls(**stored)

    def row(self) -> dict[str, Any]:
        """Return the figures as JSON."""
        return asdict(self)

    @property
    def keeps_up(self) -> bool:
        """True if as many events are settled as arrive, and none waits long."""
        settles = self.settled >= self.arrived * _KEEPS_UP
        return settles and self.age_most < MOST_AGE_SECONDS

    @property
    def limit(self) -> str | None:
        """The part that is busiest, if the installation does not keep up."""
        if self.keeps_up:
            return None
        used = {
            "workers": self.workers_busy,
            "Redis": self.redis,
            "PostgreSQL": self.postgresql / POSTGRESQL,
        }
        return max(used, key=lambda part: used[part])


def simulated(
    times: ServiceTimes,
    *,
    rate: int,
    workers: int,
    distance_ms: float = USUAL_DISTANCE_MS,
    seconds: int = _SECONDS,
) -> SimulatedCell:
    """Simulate one installation at one rate."""
    machines = Machines(
        workers=workers,
        ingest=max(2, ceil(rate * times.ingest / _INGEST_SHARE)),
        postgresql=POSTGRESQL,
        to_postgresql=distance_ms / 1000,
    )
    run = Simulation(times, machines)
    arrivals = ArrivalPlan(rate=rate).arrivals(_WARMING_SECONDS + seconds)
    run.run(arrivals, seconds, warming=_WARMING_SECONDS)
    return _cell(run.figures, machines, rate, distance_ms)


def _cell(
    figures: SimulatedFigures, machines: Machines, rate: int, distance_ms: float
) -> SimulatedCell:
    lags = quantiles(figures.lags, n=100) if len(figures.lags) > 1 else [0.0] * 99
    ages = quantiles(figures.ages, n=100)
    return SimulatedCell(
        rate=rate,
        workers=machines.workers,
        distance_ms=distance_ms,
        arrived=figures.arrived / figures.seconds,
        settled=figures.settled / figures.seconds,
        events_of_batch=figures.settled / max(figures.batches, 1),
        lag_p50=lags[49] * 1000,
        lag_p95=lags[94] * 1000,
        lag_p99=lags[98] * 1000,
        age_p50=ages[49],
        age_p99=ages[98],
        age_most=max(figures.ages),
        ingest=figures.used["ingest"] * machines.ingest,
        redis=figures.used["Redis"],
        postgresql=figures.used["PostgreSQL"] * machines.postgresql,
        workers_processors=figures.used["processors of workers"] * machines.workers,
        workers_busy=figures.used["workers"],
    )


def cells(times: ServiceTimes, tell: Callable[[str], None]) -> list[SimulatedCell]:
    """Simulate each rate with each number of workers."""
    found = []
    for rate in RATES:
        tell(f"{rate:,} events a second")
        found += [simulated(times, rate=rate, workers=workers) for workers in WORKERS]
    return found


def needs(times: ServiceTimes, tell: Callable[[str], None]) -> list[SimulatedCell]:
    """Find the least workers that keep up, for each distance and rate."""
    found = []
    for distance_ms in DISTANCES_MS:
        tell(f"the least workers, {distance_ms:g} ms from PostgreSQL")
        least = 1
        for rate in NEEDED_AT:
            cell = needed(times, rate=rate, distance_ms=distance_ms, least=least)
            if cell is not None:
                found.append(cell)
                least = cell.workers
    return found


def needed(
    times: ServiceTimes, *, rate: int, distance_ms: float, least: int = 1
) -> SimulatedCell | None:
    """Return the installation with the least workers that keeps up, or None if none does."""
    found: SimulatedCell | None = None
    most, workers = _MOST_WORKERS + 1, least
    while least < most:
        cell = simulated(times, rate=rate, workers=workers, distance_ms=distance_ms)
        if cell.keeps_up:
            found, most = cell, workers
        else:
            least = workers + 1
        workers = (least + most) // 2 if found else min(2 * workers, _MOST_WORKERS)
    return found


def usual(found: Sequence[SimulatedCell]) -> list[SimulatedCell]:
    """Return the cells at the usual distance."""
    return [cell for cell in found if cell.distance_ms == USUAL_DISTANCE_MS]
