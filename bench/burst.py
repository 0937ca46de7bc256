"""Measure the longest answer to a burst, and how many of its events are refused.

    python -m bench.burst [--events N] [--connections N] [--rounds N] [--rewrite]

The stack is that of ``paidup up`` with two worker processes, which drain meanwhile. A burst is sent
as fast as its answers come. ``--rewrite`` lets Redis rewrite its append-only file during each,
which takes a fork and much of the disk. Beside the answers stands what the burst waited for: the
longest pause of Redis, as its latency monitor has it, and of the machine, during which a process
that asked for nothing but a millisecond of sleep did not run. Exits 1 if an answer took 100 ms, or
if an event got a 503.
"""

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import click
import redis
from rich.console import Console
from rich.table import Table

from bench import load, measures, mixes
from bench.machine import SECRET, machine, prepare
from bench.peers import HOST
from ops.up.stack import Stack

PROCESSES: Final = 2
GOAL_MS: Final = 100.0
REFUSED: Final = 503
_WARMING: Final = 2000
_MONITORED_MS: Final = 5
_NAP_SECONDS: Final = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """The answers to one burst, and the pauses in milliseconds that they met."""

    answers: load.LoadAnswers
    redis_pauses: dict[str, int]
    machine_pause: float

    @property
    def longest(self) -> float:
        """The longest answer in milliseconds."""
        return max(self.answers.latencies) * 1000

    @property
    def refused(self) -> int:
        """The answers that were no 2xx."""
        return sum(times for status, times in self.answers.statuses.items() if status // 100 != 2)  # noqa: PLR2004 - success

    @property
    def is_good(self) -> bool:
        """True if the burst met the goal."""
        return self.longest < GOAL_MS and not self.refused

    def row(self) -> list[str]:
        """Return the cells of a table."""
        late = sum(seconds * 1000 >= GOAL_MS for seconds in self.answers.latencies)
        pauses = ", ".join(f"{name} {most}" for name, most in self.redis_pauses.items())
        times = (self.answers.percentile(50), self.answers.percentile(99), self.longest)
        return [
            f"{self.answers.rate:.0f}",
            *(f"{milliseconds:.1f}" for milliseconds in times),
            str(late),
            str(self.answers.statuses[REFUSED]),
            pauses or "none",
            f"{self.machine_pause:.0f}",
        ]


@click.command()
@click.option("--events", default=20_000, show_default=True)
@click.option("--connections", default=measures.CONNECTIONS, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--rewrite", is_flag=True, help="Let Redis rewrite its file during each burst.")
def main(*, events: int, connections: int, rounds: int, rewrite: bool) -> None:
    """Send the bursts, print a table, and exit 1 if one missed the goal."""
    table = Table(
        *("burst", "answers/s", "p50 ms", "p99 ms", "longest ms", f"{GOAL_MS:.0f} ms and more"),
        *("503", f"pauses of Redis, {_MONITORED_MS} ms and more", "pause of the machine, ms"),
    )
    bursts = []
    with tempfile.TemporaryDirectory(prefix="paidup-burst-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL below it belongs to another account
        with machine(Path(folder)) as servers:
            database = servers.database("burst")
            prepare(database)
            with servers.stack(database, PROCESSES) as running:
                measures.flowed(running, mixes.first(_WARMING, "warming"))
                for number in range(1, rounds + 1):
                    bodies = mixes.first(events, f"burst {number}")
                    bursts.append(send(running, bodies, connections, rewrite=rewrite))
                    table.add_row(str(number), *bursts[-1].row())
    Console().print(table)
    sys.exit(0 if all(burst.is_good for burst in bursts) else 1)


def send(running: Stack, bodies: Sequence[bytes], connections: int, *, rewrite: bool) -> Burst:
    """Send one burst, and wait until all of it is applied."""
    peer, now = measures.ingest_of(running), int(time.time())
    requests = [load.request(peer.path, body, SECRET, now) for body in bodies]
    with redis.Redis.from_url(running.redis_url) as client:
        client.config_set("latency-monitor-threshold", _MONITORED_MS)
        client.latency_reset()
        if rewrite:
            client.bgrewriteaof()
        with machine_pause() as pause:
            answers = load.run(HOST, peer.port, requests, connections=connections)
        entries: Sequence[Sequence[Any]] = client.latency_latest()
    inbox = measures.inbox_of(running)
    measures.wait(lambda: inbox.backlog().events == 0)
    pauses = {name.decode(): most for name, _, _, most, *_ in entries}
    return Burst(answers=answers, redis_pauses=pauses, machine_pause=pause[0])


@contextmanager
def machine_pause() -> Iterator[list[float]]:
    """Yield a list that holds the longest pause in milliseconds afterwards."""
    ours, its = multiprocessing.Pipe()
    pause: list[float] = []
    process = multiprocessing.get_context("spawn").Process(target=_nap, args=(its,), daemon=True)
    process.start()
    ours.recv()
    try:
        yield pause
    finally:
        ours.send(None)
        pause.append(ours.recv())
        process.join()


def _nap(pipe: Connection) -> None:
    longest = 0.0
    pipe.send(None)
    while not pipe.poll():
        began = time.perf_counter()
        time.sleep(_NAP_SECONDS)
        longest = max(longest, time.perf_counter() - began - _NAP_SECONDS)
    pipe.send(longest * 1000)


if __name__ == "__main__":
    main()
