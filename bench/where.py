"""Measure where the time goes between Stripe's socket and the row.

    python -m bench.where [--events N] [--rounds N] [--postgres FOLDER]

First the whole stack under load: processor time for each event, by kind of process. Then one worker
in this process drains what it accepted itself, with samples of its position, so that the steps can
be separated. Then the cost of its statements in PostgreSQL and of its commands in Redis, with
Redis' own lists of slow ones. Shares are of all rounds, times are of the fastest, and the servers'
numbers are of the last.

The PostgreSQL is the one that ``bench/postgres`` installs, or another with ``pg_stat_statements``
whose programs ``--postgres`` names. The embedded one lacks that, so its statements are not listed.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import click
import psycopg
import redis
from rich.console import Console
from rich.table import Table

from bench import costs, measures, mixes
from bench.machine import SECRET, BenchMachine, machine, prepare, production_postgres
from bench.sampler import Samples, Steps, code_of
from billing.projection.party import PartyFacts
from billing.readers import registry
from ops.demo.plans import PLANS
from runtime import event_body
from runtime.database.engine import make_engine
from runtime.gc_tuning import reduce_gc
from runtime.inbox.inbox import Inbox
from runtime.ledger import admit, difference, load, locks, record
from runtime.metrics_files import claimed_folder
from runtime.redis_client import make_redis
from runtime.settings import Settings
from runtime.telemetry import build_metrics, configure_logging
from workers.batches.drainer import Drainer
from workers.batches.reporting import Reporter
from workers.drain.pool import build_drainer
from workers.liveness import Pulse

STEPS: Final[Steps] = {
    code_of(Inbox.claim): "claim",
    code_of(event_body.parse): "parse",
    code_of(registry.read_event): "read",
    code_of(admit.open_transaction): "admit",
    code_of(admit.admit): "admit",
    code_of(locks.secure): "secure",
    code_of(load.load): "load",
    code_of(PartyFacts.add): "project",
    code_of(PartyFacts.project): "project",
    code_of(difference.difference): "compare",
    code_of(record._write): "write",  # noqa: SLF001 - a step has no public name
    code_of(Inbox.finish): "finish",
    code_of(Reporter.settled): "report",
}
LIBRARIES: Final = (
    "billing", "runtime/ledger", "runtime", "workers", "psycopg", "sqlalchemy", "redis", "json",
    "prometheus_client", "structlog",
)  # fmt: skip
DRAINER: Final = "where"
"""The name under which the drainer of this process connects to PostgreSQL."""

Cost = Mapping[str, float]
"""Processor seconds by kind of process."""

_MODULE: Final = "pg_stat_statements"
_LONGEST_STATEMENT: Final = 90
_STATEMENTS: Final = (
    "SELECT query, calls, total_exec_time + total_plan_time FROM pg_stat_statements"
    " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " ORDER BY 3 DESC LIMIT 16"
)


@click.command()
@click.option("--events", default=5000, show_default=True)
@click.option("--rounds", default=4, show_default=True)
@click.option("--postgres", type=click.Path(path_type=Path, exists=True), help="Its programs.")
def main(events: int, rounds: int, postgres: Path | None) -> None:
    """Print the tables."""
    console = Console()
    configure_logging(sys.stderr, level="warning")
    postgres = postgres or production_postgres()
    with tempfile.TemporaryDirectory(prefix="paidup-where-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with machine(folder, binaries=postgres, settings=_watching(postgres)) as servers:
            console.print(_live(servers, events, rounds))
            for table in _alone(servers, events, rounds):
                console.print(table)


def _watching(postgres: Path | None) -> Mapping[str, str]:
    if postgres is None:
        return {}
    return {"shared_preload_libraries": _MODULE, "track_io_timing": "on"}


# The whole stack ------------------------------------------------------------------------


def _live(servers: BenchMachine, events: int, rounds: int) -> Table:
    database = servers.database("live")
    prepare(database)
    taken: list[Cost] = []
    with servers.stack(database, 2) as running:
        measures.end_to_end(running, mixes.first(events // 4, "warming"))
        for number in range(rounds):
            before = costs.by_kind(servers, running)
            measures.end_to_end(running, mixes.first(events, f"live {number}"))
            taken.append(_since(before, costs.by_kind(servers, running)))
    return _costs("end to end, two worker processes", _least(taken), events)


def _since(before: Cost, now: Cost) -> Cost:
    return {name: now[name] - before[name] for name in now}


def _least(taken: Sequence[Cost]) -> Cost:
    return min(taken, key=lambda cost: sum(cost.values()))


def _costs(title: str, cost: Cost, events: int) -> Table:
    table = Table("processor time of an event", "us", title=title)
    for name, seconds in (*cost.items(), ("together", sum(cost.values()))):
        table.add_row(name, f"{seconds / events * 1e6:.0f}")
    return table


# One worker, in this process ------------------------------------------------------------


def _alone(servers: BenchMachine, events: int, rounds: int) -> Iterator[Table]:
    database = servers.database("alone")
    prepare(database)
    servers.empty_redis()
    watching = psycopg.connect(servers.postgres.admin_url, dbname="alone")
    ours = drainer_here(servers.folder, database, servers.redis_url())
    with ours as (inbox, drainer), watching as connection:
        reduce_gc()
        has_statements = _has_statements(connection)
        taken: list[Cost] = []
        samples = Samples(STEPS, LIBRARIES)
        for number in range(rounds):
            for body in mixes.first(events, f"alone {number}"):
                inbox.accept(event_body.parse(body))
            _forget(inbox.client, connection, has_statements=has_statements)
            before = _cost(servers)
            with samples.taking():
                drainer.run("where")
            taken.append(_since(before, _cost(servers)))
        least = _least(taken)
        yield _costs("drain, one worker process", least, events)
        yield _shares("step of the worker", samples.steps, least["worker"] / events)
        yield _shares("library", samples.libraries, least["worker"] / events)
        if has_statements:
            yield _statements(connection, events)
        yield from _commands(inbox.client, events)


@contextmanager
def drainer_here(
    folder: Path, database_url: str, redis_url: str
) -> Iterator[tuple[Inbox, Drainer]]:
    """Yield an inbox and its drainer in this process, which keeps its metrics in ``folder``."""
    settings = Settings.from_env(
        {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "PAIDUP_PLANS": str(PLANS),
        }
    )
    inbox = Inbox(make_redis(settings, timeout=5.0, pool_size=4))
    engine = make_engine(settings, application_name=DRAINER)
    with ExitStack() as held:
        held.callback(engine.dispose)
        held.enter_context(claimed_folder(folder / "metrics", os.environ))
        yield (
            inbox,
            build_drainer(
                settings,
                inbox,
                engine,
                lambda: False,
                Pulse(folder / "pulse"),
                metrics=build_metrics(event_types=registry.HANDLED_TYPES),
                max_run_seconds=600,
            ),
        )


def _forget(
    client: redis.Redis, connection: psycopg.Connection[Any], *, has_statements: bool
) -> None:
    client.config_resetstat()
    client.slowlog_reset()
    client.config_set("latency-monitor-threshold", 10)
    if has_statements:
        connection.execute("SELECT pg_stat_statements_reset()")
    connection.commit()


def _cost(servers: BenchMachine) -> Cost:
    return {
        "worker": time.process_time(),
        "redis": costs.cpu_seconds([servers.redis.pid]),
        "postgresql": costs.cpu_seconds(costs.tree(servers.postgres.pid)),
    }


def _shares(title: str, samples: Counter[str], seconds: float) -> Table:
    table = Table(title, "share", "us")
    for name, times in samples.most_common():
        share = times / samples.total()
        table.add_row(name, f"{share:.1%}", f"{share * seconds * 1e6:.0f}")
    return table


# What the servers report -------------------------------------------------------------------


def _has_statements(connection: psycopg.Connection[Any]) -> bool:
    try:
        connection.execute(f"CREATE EXTENSION IF NOT EXISTS {_MODULE}".encode())
    except psycopg.Error:
        connection.rollback()
        return False
    return True


def _statements(connection: psycopg.Connection[Any], events: int) -> Table:
    table = Table("statement", "calls", "us for an event", title="PostgreSQL")
    for query, calls, milliseconds in connection.execute(_STATEMENTS):
        text = " ".join(query.split())[:_LONGEST_STATEMENT]
        table.add_row(text, str(calls), f"{milliseconds * 1000 / events:.1f}")
    return table


def _commands(client: redis.Redis, events: int) -> Iterator[Table]:
    table = Table("command", "calls for an event", "us for an event", title="Redis, draining")
    found: Mapping[str, Mapping[str, float]] = client.info("commandstats")
    for name, stats in sorted(found.items(), key=lambda each: -each[1]["usec"])[:12]:
        command = name.removeprefix("cmdstat_")
        table.add_row(command, f"{stats['calls'] / events:.2f}", f"{stats['usec'] / events:.2f}")
    yield table
    slow = Table("Redis", "number", "longest, ms")
    commands: Sequence[Mapping[str, Any]] = client.slowlog_get(100)
    longest = max((each["duration"] for each in commands), default=0)
    slow.add_row("slow commands (SLOWLOG)", str(len(commands)), f"{longest / 1000:.1f}")
    pauses: Sequence[Sequence[Any]] = client.latency_latest()
    for name, _, _, most, *_ in pauses:  # Valkey adds the sum and the number of the pauses
        slow.add_row(f"pauses of 10 ms and more (LATENCY): {name.decode()}", "", str(most))
    yield slow


if __name__ == "__main__":
    main()
