"""``python -m bench.simulate``: how Paidup scales on machines that nobody here has.

    python -m bench.simulate                     # simulate from the service times that are kept
    python -m bench.simulate --measure --check   # measure them first, and compare with real runs

Rates of up to 20,000 events a second and up to 50 worker processes follow from what an event takes
of ingest, Redis, a worker and PostgreSQL (``bench/simulate/model.py``). ``--measure`` takes these
times on this machine; ``--check`` compares simulations with real runs of 1, 2 and 4 processes. Both
start servers of their own.

Writes the part ``simulation`` of results.json, the tables in ``docs/scaling.md`` and
``docs/scaling-simulated.svg``.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from bench import report as bench_report
from bench.machine import machine
from bench.results_file import keep_results, read_results
from bench.simulate import check, grid, measure, report, waiting
from bench.simulate.times import ServiceTimes
from runtime.telemetry import configure_logging

PART: Final = "simulation"
_TITLES: Final = {
    "times": "service times, processor time of a batch",
    "simulated": "99 of 100 events are applied after, or the limit and what is settled",
    "needs": "the least workers that keep up",
    "processors": "processors that are busy then",
    "waiting": "bytes of Redis for a waiting event",
    "outage": "maxmemory for a day without PostgreSQL",
    "check": "real runs and simulations",
}


@click.command()
@click.option("--measure", "measures", is_flag=True, help="Measure the service times first.")
@click.option("--check", "checks", is_flag=True, help="Compare with real runs, some five minutes.")
@click.option(
    "--keep/--no-keep", default=True, help="Write results.json, the page and the picture."
)
def main(*, measures: bool, checks: bool, keep: bool) -> None:
    """Measure and compare if asked to, simulate, print the tables, and write them."""
    tell = Console(stderr=True).print
    configure_logging(sys.stderr, level="warning")
    results = read_results().get(PART, {})
    if not results and not measures:
        message = "No service times are kept: measure them with --measure."
        raise click.ClickException(message)
    if measures or checks:
        results = {**results, **_on_servers(results, tell, measures=measures, checks=checks)}
    times = ServiceTimes.read(results["times"])
    results = {
        **results,
        "cells": [cell.row() for cell in grid.cells(times, tell)],
        "needs": [cell.row() for cell in grid.needs(times, tell)],
    }
    if keep:
        keep_results({PART: results})
        report.write(results)
    for name, rows in report.tables(results).items():
        Console(width=_wide()).print(report.shown(_TITLES[name], rows))


def _on_servers(
    results: dict[str, Any], tell: Callable[[str], None], *, measures: bool, checks: bool
) -> dict[str, Any]:
    """Return what is measured on servers of this run."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="paidup-simulate-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL below it belongs to another account
        with machine(Path(folder)) as servers:
            if measures:
                found["made_with"] = bench_report.versions(servers)
                found["times"] = measure.measure(servers, measure.FULL, tell).stored_times()
                sizes = waiting.waiting_sizes(servers, waiting.FULL_EVENTS, tell)
                found["waiting"] = [each.row() for each in sizes]
            if checks:
                times = ServiceTimes.read({**results, **found}["times"])
                compared = check.check(servers, times, check.FULL, tell)
                found["check"] = [each.row() for each in compared]
    return {"check": [], "waiting": [], **results, **found}


def _wide() -> int | None:
    """Return a width that no table exceeds where no person looks at a terminal."""
    return None if sys.stdout.isatty() else 200


if __name__ == "__main__":
    main()
