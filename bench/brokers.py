"""``make bench-brokers``: compare the wake-ups of RabbitMQ with those of Redis.

    python -m bench.brokers [--rounds N] [--singles N] [--seconds N] [--rate N]

The stack is that of ``paidup up`` with two worker processes. In each round both brokers carry its
wake-ups in turn, the other one first in the next round. First come single events at rest, each sent
when the one before is applied; then a steady rate. A figure is the time from the receipt of an
event to its COMMIT in milliseconds, by the clock of one machine. It needs Debian's
``rabbitmq-server``.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Final, cast

import click
import psycopg
from rich.console import Console
from rich.table import Table

from bench import measures, mixes
from bench.machine import BenchMachine, machine, prepare
from ops.up.stack import Stack
from tests.rabbitmq import rabbitmq

PROCESSES: Final = 2
PERCENTS: Final = (50, 95, 99)
_REDIS: Final = "Redis"
_RABBITMQ: Final = "RabbitMQ"
_WARMING: Final = 500
_LOOK_SECONDS: Final = 0.005
_TIMES: Final = (
    "SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - received_at)::float * 1000"
    " FROM stripe_events WHERE received_at >= %s"
)

Times = Mapping[str, Sequence[float]]
"""The milliseconds of each event, by the load."""


@click.command()
@click.option("--rounds", default=4, show_default=True)
@click.option("--singles", default=100, show_default=True, help="Events at rest in each round.")
@click.option("--seconds", default=10, show_default=True, help="Of the steady rate.")
@click.option("--rate", default=200, show_default=True, help="Events a second.")
def main(*, rounds: int, singles: int, seconds: int, rate: int) -> None:
    """Measure both brokers and print a table of the medians of the rounds."""
    found: dict[str, list[Times]] = {_REDIS: [], _RABBITMQ: []}
    with tempfile.TemporaryDirectory(prefix="paidup-brokers-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL below it belongs to another account
        with machine(folder) as servers, rabbitmq(folder / "rabbitmq") as broker:
            for number in range(rounds):
                for kind in sorted(found, reverse=bool(number % 2)):
                    click.echo(f"round {number + 1}: {kind}", err=True)
                    added = {"CELERY_BROKER_URL": broker.url} if kind == _RABBITMQ else {}
                    with fresh_stack(servers, added) as running:
                        found[kind].append(measure(running, singles, rate, seconds))
    Console().print(table_of(found))


@contextmanager
def fresh_stack(servers: BenchMachine, added: Mapping[str, str]) -> Iterator[Stack]:
    """Run the stack on an empty database and an empty inbox, warmed up."""
    database = servers.database("brokers")
    prepare(database)
    with servers.stack(database, PROCESSES, **added) as running:
        measures.flowed(running, mixes.first(_WARMING, "warming"))
        yield running


def measure(running: Stack, singles: int, rate: int, seconds: int) -> Times:
    """Return the times of single events at rest, and of a steady rate."""
    with psycopg.connect(running.database_url, autocommit=True) as connection:
        began = now(connection)
        inbox = measures.inbox_of(running)
        for body in mixes.first(singles, "singles"):
            measures.acknowledged(measures.ingest_of(running), [body])
            while inbox.backlog().events:
                time.sleep(_LOOK_SECONDS)
        at_rest = times_since(connection, began)
        began = now(connection)
        measures.lag(running, mixes.first(rate * seconds, "steady"), rate)
        return {"one at rest": at_rest, f"{rate} a second": times_since(connection, began)}


def now(connection: psycopg.Connection) -> datetime:
    """Return the time of PostgreSQL."""
    ((moment,),) = connection.execute("SELECT clock_timestamp()").fetchall()
    return cast("datetime", moment)


def times_since(connection: psycopg.Connection, began: datetime) -> Sequence[float]:
    """Return the milliseconds from receipt to COMMIT of each event received since."""
    return [float(row[0]) for row in connection.execute(_TIMES, (began,))]


def percentiles(times: Sequence[float]) -> list[float]:
    """Return the percentiles that the table shows."""
    cuts = quantiles(times, n=100, method="inclusive")
    return [cuts[percent - 1] for percent in PERCENTS]


def table_of(found: Mapping[str, Sequence[Times]]) -> Table:
    """Return the medians of the rounds for each load and broker, in milliseconds."""
    table = Table("load", "broker", *(f"p{percent} ms" for percent in PERCENTS))
    for load in next(iter(found.values()))[0]:
        for kind, rounds in found.items():
            columns = zip(*(percentiles(each[load]) for each in rounds), strict=True)
            table.add_row(load, kind, *(f"{median(column):.1f}" for column in columns))
    return table


if __name__ == "__main__":
    main()
