"""``python -m bench.growth``: what one further event costs a party with a long past.

    python -m bench.growth [--sizes 0,100,1000,10000] [--rounds N] [--seconds N] [--at-once N]

Everything runs as in production: ingest, Redis, one worker process, PostgreSQL. Pasts are loaded
beforehand (``bench/past.py``). Each round measures every kind of event after every past, sizes by
turns, so that other work on the machine slows all alike; the first round warms up. Figures are
medians, and ratios are taken round by round. What one event reads is counted once, in a
transaction of this process that is rolled back: it does not vary.

Writes the part ``growth`` of results.json, ``docs/growth.svg`` and the table in
``docs/performance.md``.
"""

import tempfile
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from bench import report
from bench.growth import page
from bench.growth.report import growth_results, moves_table, table
from bench.growth.run import GrowthRun, GrowthScale
from bench.machine import machine
from bench.results_file import keep_results

MOST_MOVES: Final = 3
"""Rounds of moves: each costs what the whole past costs."""


class Sizes(click.ParamType[tuple[int, ...]]):
    """Sizes of pasts, with commas between them; that of a new party is always among them."""

    name = "sizes"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Return the sizes in order."""
        try:
            sizes = {int(size) for size in str(value).split(",")}
        except ValueError:
            self.fail(f"{value!r} is no list of numbers such as 0,100,1000", param, ctx)
        if min(sizes) < 0:
            self.fail("a past cannot be shorter than none", param, ctx)
        return tuple(sorted({0, *sizes}))


@click.command()
@click.option("--sizes", type=Sizes(), default="0,100,1000,10000", show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=9, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(1),
    default=30,
    show_default=True,
    help="What takes longer is not measured.",
)
@click.option(
    "--at-once",
    type=click.IntRange(2),
    default=400,
    show_default=True,
    help="Updates of one subscription within one second.",
)
@click.option(
    "--keep/--no-keep", default=True, help="Write results.json, the page and the picture."
)
def main(*, sizes: tuple[int, ...], rounds: int, seconds: float, at_once: int, keep: bool) -> None:
    """Measure, print the table, and write it."""
    console = Console(stderr=True)
    scale = GrowthScale(sizes=sizes, rounds=rounds, at_once=at_once, seconds=seconds)
    with tempfile.TemporaryDirectory(prefix="paidup-bench-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL below it belongs to another account
        with machine(Path(folder)) as servers:
            made_with = report.versions(servers)
            run = GrowthRun(servers, scale, console.print)
            cells, moves = run.run(), run.moves(min(rounds, MOST_MOVES))
    results = growth_results(cells, moves, scale, made_with)
    if keep:
        keep_results({"growth": results})
        page.write(results)
    Console().print(table(results))
    Console().print(moves_table(results))


if __name__ == "__main__":
    main()
