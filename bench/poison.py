"""Measure the cost of events that harm their worker for all other events.

    python -m bench.poison [--seconds N] [--every N] [--harm exit]...

Good events arrive at a steady rate, and one in so many among them ends its process, eats all memory
or hangs. The pool is the real one with that poison installed, as in the fault tests; every lease,
limit and pause is that of production. The table shows the time of the good events from their
acknowledgement to their COMMIT. A hang holds a process for a minute, four times, so there is only
one in all.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, text

from bench.machine import SECRET
from ops.demo.plans import PLANS
from ops.send.delivery import DeliveryClient
from ops.send.endpoint import Endpoint
from ops.up.stack import Stack
from runtime.database.engine import engine_for
from runtime.inbox.inbox import Inbox
from tests.faults.fault_env import LOOK_SECONDS, one_try_client
from tests.faults.faulty import POISON
from tests.faults.purchases import event_id, purchase

RATE: Final = 200.0
PROCESSES: Final = 2
SENDERS: Final = 8
PATIENCE_SECONDS: Final = 600.0
HARMS: Final = ("none", "exit", "segv", "memory", "hang")

_LAGS: Final = text(
    "SELECT count(*), percentile_cont(ARRAY[0.5, 0.95, 0.99, 1]) WITHIN GROUP"
    " (ORDER BY extract(epoch FROM applied_at - received_at)) FROM stripe_events"
)


@click.command()
@click.option("--seconds", default=60, show_default=True, help="How long events come.")
@click.option("--every", default=2000, show_default=True, help="One in so many is poison.")
@click.option("--harm", "harms", multiple=True, type=click.Choice(HARMS), default=HARMS)
def main(seconds: int, every: int, harms: Sequence[str]) -> None:
    """Measure each harm on a stack of its own, and print the table."""
    console = Console(stderr=True)
    table = Table("poison", "events", "dead", "p50 s", "p95 s", "p99 s", "longest s")
    for harm in harms:
        console.print(f"{harm}: {RATE:.0f} events/s for {seconds} s")
        with _stack() as running:
            table.add_row(harm, *_measured(running, list(_bodies(harm, seconds, every)), harm))
    Console().print(table)


@contextmanager
def _stack() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="paidup-poison-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL below it belongs to another account
        environ = {
            "PATH": os.environ["PATH"],
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "PAIDUP_WORKER_PROCESSES": str(PROCESSES),
            "PAIDUP_LOG_LEVEL": "warning",
            "PAIDUP_PLANS": str(PLANS),
        }
        with Stack(Path(folder) / "data", environ, ports="free") as running:
            yield running


def _measured(running: Stack, bodies: Sequence[bytes], harm: str) -> list[str]:
    poison = sum(POISON.encode() in body for body in bodies)
    if running.worker:
        running.worker.stop()
    engine = engine_for(running.database_url, application_name="bench")
    with _poisoned_worker(running, harm):
        _send(running, bodies)
        _wait_for(engine, len(bodies) - poison)
        cells = [*_row(engine)]
    engine.dispose()
    return cells


def _bodies(harm: str, seconds: int, every: int) -> Iterator[bytes]:
    for each in range(round(RATE * seconds)):
        bad = each % every == every // 2 and (harm != "hang" or each < every)
        yield purchase(f"{POISON}-{each}" if bad and harm != "none" else each)


def _send(running: Stack, bodies: Sequence[bytes]) -> None:
    """Send each at its time, however the earlier ones end; all must be accepted."""
    started = time.monotonic()

    def send(first: int) -> set[int]:
        client, statuses = DeliveryClient(Endpoint.at(running.webhook_url), SECRET), set()
        for number in range(first, len(bodies), SENDERS):
            time.sleep(max(0.0, started + number / RATE - time.monotonic()))
            statuses.add(client.post(bodies[number]).status)
        client.close()
        return statuses

    with ThreadPoolExecutor(SENDERS) as threads:
        answers = set().union(*threads.map(send, range(SENDERS)))
    assert answers == {202}, answers  # noqa: S101 - nothing to measure


def _wait_for(engine: Engine, good: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with engine.connect() as connection:
            if connection.execute(text("SELECT count(*) FROM stripe_events")).scalar_one() >= good:
                return
        time.sleep(0.5)
    message = "the good events were not settled in time"
    raise TimeoutError(message)


def _row(engine: Engine) -> Iterator[str]:
    with engine.connect() as connection:
        count, lags = connection.execute(_LAGS).one()
        dead = connection.execute(text("SELECT count(*) FROM dead_letters")).scalar_one()
    yield from (f"{count}", f"{dead}", *(f"{lag:.3f}" for lag in lags))


@contextmanager
def _poisoned_worker(running: Stack, harm: str) -> Iterator[None]:
    faults = "" if harm == "none" else f"poison_{harm}"
    environ = {**running.environ, "PATH": os.environ["PATH"], "FAULTS": faults}
    worker = subprocess.Popen([sys.executable, "-m", "tests.faults.faulty_worker"], env=environ)
    client = one_try_client(running.redis_url, LOOK_SECONDS)
    inbox = Inbox(client)
    try:
        _send_ahead(running, inbox)
        yield
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait()
        client.close()


def _send_ahead(running: Stack, inbox: Inbox) -> None:
    """Settle one event first, so that the pool's start is not measured."""
    _send(running, [purchase("ahead")])
    deadline = time.monotonic() + PATIENCE_SECONDS
    while inbox.backlog().events:
        assert time.monotonic() < deadline, event_id("ahead")  # noqa: S101 - nothing to measure
        time.sleep(0.1)


if __name__ == "__main__":
    main()
