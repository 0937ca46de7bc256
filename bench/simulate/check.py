"""Compare the simulation with real runs of 1, 2 and 4 worker processes.

PostgreSQL is far away, behind a relay that holds each piece back, so that worker processes spend
their time on waiting and several of them are faster than one even on two processors. Each run
drains a backlog, and then applies events that come at a steady rate. The simulation gets the same
events, and the processor time that other work took meanwhile.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

from bench import costs, measures, mixes
from bench.machine import BenchMachine, prepare, stop_worker
from bench.past import load_past
from bench.simulate.arrivals import Arrival
from bench.simulate.measure import DELAY_SECONDS, flow, paced_lag
from bench.simulate.model import Machines, Simulation
from bench.simulate.times import ServiceTimes
from ops.up.stack import Stack
from runtime import event_body
from tests.relay import Relay

_NEAR_SECONDS: Final = 0.00005
"""A round trip to Redis within one machine; most of it is work, which is counted as that."""

_RELAYED_SECONDS: Final = 0.0004
"""What a relay's own threads add to a round trip on a machine that is not busy."""

_MOST_OUTSIDE: Final = 0.9
"""The part of all processors that other work has at most: a machine is fair, a queue is not."""

_MOST_SECONDS: Final = 600.0
_ENDING_SECONDS: Final = 30.0
"""After the last event has come, until its lag is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckScale:
    """The runs: events a second of the steady part, for each number of processes and delay."""

    rates: dict[tuple[float, int], int]
    seconds: int
    backlog_seconds: int
    """How long a backlog lasts at twice the steady rate: several batches of each process."""
    old: Sequence[mixes.OldCustomers]


FULL: Final = CheckScale(
    rates={
        (DELAY_SECONDS, 1): 120,
        (DELAY_SECONDS, 2): 240,
        (DELAY_SECONDS, 4): 480,
        (2 * DELAY_SECONDS, 1): 60,
        (2 * DELAY_SECONDS, 2): 120,
        (2 * DELAY_SECONDS, 4): 240,
    },
    seconds=15,
    backlog_seconds=20,
    old=mixes.FEWER_OLD,
)
BRIEF: Final = CheckScale(rates={(DELAY_SECONDS, 2): 50}, seconds=1, backlog_seconds=8, old=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One setting: events a second of a drain, and lags in ms at a rate; real and simulated."""

    processes: int
    delay_ms: float
    rate: int
    drained: float
    drained_simulated: float
    p50: float
    p50_simulated: float
    p99: float
    p99_simulated: float
    outside: float
    """Processors that other work kept busy during the drain."""

    @property
    def ratio(self) -> float:
        """The drain as it was simulated, to the real one."""
        return self.drained_simulated / self.drained

    def row(self) -> dict[str, Any]:
        """Return the figures as JSON."""
        return asdict(self)


def check(
    servers: BenchMachine, times: ServiceTimes, scale: CheckScale, tell: Callable[[str], None]
) -> list[Compared]:
    """Run every setting for real and as a simulation."""
    template = "check_template"
    database = servers.database(template)
    prepare(database)
    if scale.old:
        load_past(database, mixes.past(scale.old))
    found = []
    for delay, processes in scale.rates:
        tell(f"{processes} worker processes, {delay * 2000:g} ms from PostgreSQL")
        with _through_relay(servers, servers.database("checked", like=template), delay) as url:
            setting = _Setting(servers, times, scale, delay_seconds=delay, processes=processes)
            found.append(setting.compared(url))
    return found


@contextmanager
def _through_relay(servers: BenchMachine, database_url: str, delay: float) -> Iterator[str]:
    relay = Relay(servers.postgres.port, delay_seconds=delay)
    try:
        yield database_url.replace(f":{servers.postgres.port}/", f":{relay.port}/")
    finally:
        relay.close()


class _Setting:
    """A number of processes at a distance from PostgreSQL, for real and as a simulation."""

    def __init__(
        self,
        servers: BenchMachine,
        times: ServiceTimes,
        scale: CheckScale,
        *,
        delay_seconds: float,
        processes: int,
    ) -> None:
        self._servers = servers
        self._times = times
        self._delay_seconds = delay_seconds
        self._processes = processes
        self._rate = scale.rates[delay_seconds, processes]
        self._scale = scale
        self._warming = mixes.first(self._rate, "warming")
        events = 2 * self._rate * scale.backlog_seconds
        self._backlog = mixes.first(events, "backlog", old=scale.old)

    def compared(self, url: str) -> Compared:
        """Run it for real on a database, and then as a simulation."""
        with self._servers.stack(url, self._processes) as running:
            flow(running, self._warming)
            stop_worker(running)
            with _outside(self._servers, running) as outside:
                drained = measures.drained(running, self._backlog)
            with _outside(self._servers, running) as outside_paced:
                paced, (p50, p99) = paced_lag(running, self._paced, self._rate)
        draining, pacing = self._simulation(outside[0]), self._simulation(outside_paced[0])
        draining.drain(_given(self._backlog, None), _MOST_SECONDS)
        seconds = self._scale.seconds + _ENDING_SECONDS
        pacing.run(_given(paced, self._rate), seconds, warming=0.0)
        lags = quantiles(pacing.figures.lags, n=100)
        return Compared(
            processes=self._processes,
            delay_ms=self._delay_seconds * 2000,
            rate=self._rate,
            drained=drained,
            drained_simulated=draining.figures.settled / draining.figures.seconds,
            p50=p50,
            p50_simulated=lags[49] * 1000,
            p99=p99,
            p99_simulated=lags[98] * 1000,
            outside=outside[0],
        )

    def _paced(self, turn: int) -> mixes.Bodies:
        count = self._rate * self._scale.seconds
        return mixes.first(count, f"paced {turn}", old=self._scale.old, turn=turn)

    def _simulation(self, outside: float) -> Simulation:
        processors = os.cpu_count() or 1
        machines = Machines(
            workers=self._processes,
            ingest=2,
            shared=processors,
            outside=min(outside, processors * _MOST_OUTSIDE),
            to_postgresql=2 * self._delay_seconds + _RELAYED_SECONDS,
            to_redis=_NEAR_SECONDS,
        )
        return Simulation(self._times, machines)


def _given(bodies: Sequence[bytes], rate: float | None) -> Iterator[Arrival]:
    """Yield the events of a real run: at a rate, or all of them at once."""
    numbers: dict[str, int] = {}
    for place, body in enumerate(bodies):
        partition = event_body.parse(body).partition
        party = numbers.setdefault(partition, len(numbers))
        yield Arrival(place / rate if rate else 0.0, party)


@contextmanager
def _outside(servers: BenchMachine, running: Stack) -> Iterator[list[float]]:
    """Yield a list that afterwards holds how many processors other work kept busy."""
    found: list[float] = []
    ours, everything, began = _ours(servers, running), _busy_seconds(), _uptime()
    yield found
    others = _busy_seconds() - everything - (_ours(servers, running) - ours)
    found.append(max(others, 0.0) / (_uptime() - began))


def _ours(servers: BenchMachine, running: Stack) -> float:
    return sum(costs.by_kind(servers, running).values())


def _uptime() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


def _busy_seconds() -> float:
    """Return the seconds for which the machine's processors worked, or another machine did."""
    user, nice, system, _idle, _waiting, *interrupts = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
