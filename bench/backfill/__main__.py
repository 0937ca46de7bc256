"""``make bench-backfill``: read a company's past from Stripe, beside a twin that heard it all.

    python -m bench.backfill [--subscribers N] [--months N] [--rate N] [--latency S]

Stripe is the tests' own, in a process of its own, with the time that an answer takes over the
network. The backfill is the command, the twin records every webhook of the past as workers do.
Exits 1 if access or money differ, or if the backfill takes more than a quarter of an hour.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from bench.backfill.twin import differences, hear_all, size
from bench.machine import BenchMachine, environ_of, machine
from ops.terminal.formats import format_bytes
from runtime.database.engine import engine_for
from runtime.ledger import catalogues
from runtime.plans_file import read_plans_text
from runtime.schema import upgrade
from tests.stripe.company import Company, CompanyPlan, build_company, plans_text

MOST_SECONDS: Final = 900.0
_KIB: Final = 1024
_SHOWN: Final = 20
_TWIN_PROCESSES: Final = 2
_LOOK_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillFigures:
    """The time and memory of a backfill; ``memory`` is the most that its process held, in bytes.

    ``busy`` are the seconds that its process computed.
    """

    seconds: float
    busy: float
    memory: int
    report: dict[str, Any]
    plan: dict[str, Any]


@click.command()
@click.option("--subscribers", type=click.IntRange(1), default=3_000, show_default=True)
@click.option("--months", type=click.IntRange(1), default=24, show_default=True)
@click.option("--rate", type=click.FloatRange(0.1, 25), default=20.0, show_default=True)
@click.option("--latency", type=click.FloatRange(0), default=0.15, show_default=True)
def main(*, subscribers: int, months: int, rate: float, latency: float) -> None:
    """Measure a backfill and its twin."""
    console = Console()
    plan = CompanyPlan(subscribers=subscribers, months=months, now=int(time.time()))
    company = build_company(plan)
    with (
        tempfile.TemporaryDirectory() as name,
        machine(_open_folder(name)) as servers,
        _database(servers, "backfilled", company) as ours,
        _database(servers, "twin", company) as twin,
    ):
        with _stripe(plan, latency) as stated:
            figures = _backfill(servers, stated, rate)
        console.print(_table(figures))
        began = time.monotonic()
        heard = hear_all(servers.postgres.url_of("twin"), plan, _TWIN_PROCESSES)
        hearing = time.monotonic() - began
        different = [*differences(ours, twin)]
        console.print(_twin_table(size(ours), heard=heard, hearing=hearing))
    for sentence in different[:_SHOWN]:
        console.print(sentence)
    console.print(f"{len(different)} differences between {subscribers} subscribers and their twins")
    sys.exit(bool(different) or figures.seconds > MOST_SECONDS)


def _open_folder(name: str) -> Path:
    """Return a folder that the account of the servers may enter."""
    folder = Path(name)
    folder.chmod(0o711)
    return folder


@contextmanager
def _database(servers: BenchMachine, name: str, company: Company) -> Iterator[Engine]:
    """Yield an engine of a new database with the company's plans."""
    engine = engine_for(servers.database(name), application_name="bench")
    try:
        upgrade(engine)
        plans = read_plans_text(plans_text(company.document))
        catalogues.install_first(engine, plans, actor="bench", reason="bench")
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _stripe(plan: CompanyPlan, latency: float) -> Iterator[dict[str, Any]]:
    """Run the tests' Stripe with the same company, and yield what it says about itself."""
    arguments = {
        "--subscribers": plan.subscribers,
        "--months": plan.months,
        "--now": plan.now,
        "--seed": plan.seed,
        "--latency": latency,
    }
    words = [str(word) for pair in arguments.items() for word in pair]
    command = [sys.executable, "-m", "tests.stripe", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None  # noqa: S101 - it was asked for
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


def _backfill(servers: BenchMachine, stated: Mapping[str, Any], rate: float) -> BackfillFigures:
    """Run the command until it ends."""
    environ = environ_of(
        {
            "DATABASE_URL": servers.postgres.url_of("backfilled"),
            "REDIS_URL": servers.redis.url,
            "STRIPE_API_KEY": stated["key"],
            "STRIPE_API_BASE": stated["url"],
        }
    )
    words = ["backfill", "--rate", str(rate), "--reason", "bench", "--json"]
    command = [sys.executable, "-m", "ops.cli", *words]
    began = time.monotonic()
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(command, stdout=output, text=True, env=environ) as process,  # noqa: S603
    ):
        memory = _most_memory(process)
        output.seek(0)
        printed = output.read()
    seconds = time.monotonic() - began
    # The command is the only child that ended by now.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    document = json.loads(printed)
    return BackfillFigures(
        seconds=seconds,
        busy=used.ru_utime + used.ru_stime,
        memory=memory,
        plan=document["plans"][0],
        report=document["accounts"][0],
    )


def _most_memory(process: "subprocess.Popen[str]") -> int:
    """Wait until the process ends, and return the most bytes that it held in memory.

    ``getrusage`` would count the memory of this process, which a child has until it runs its own.
    """
    most, status = 0, Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                most = max(most, int(line.split()[1]) * _KIB)
        time.sleep(_LOOK_SECONDS)
    return most


def _table(figures: BackfillFigures) -> Table:
    read = sum(sum(count.values()) for count in figures.report["lists"].values())
    table = Table("backfill", "")
    table.add_row("objects planned, read", f"{figures.plan['objects']}, {read}")
    table.add_row(
        "requests planned, sent", f"{figures.plan['requests']}, {figures.report['requests']}"
    )
    table.add_row("seconds planned, taken", f"{figures.plan['seconds']:.0f}, {figures.seconds:.0f}")
    table.add_row("seconds that the command computed", f"{figures.busy:.0f}")
    table.add_row("objects a second", f"{read / figures.seconds:.0f}")
    table.add_row("memory of the command", format_bytes(figures.memory))
    return table


def _twin_table(rows: Mapping[str, int], *, heard: int, hearing: float) -> Table:
    table = Table("twin", "")
    table.add_row("events that it heard", str(heard))
    table.add_row("seconds", f"{hearing:.0f}")
    for name, count in rows.items():
        table.add_row(f"rows compared: {name}", str(count))
    return table


if __name__ == "__main__":
    main()
