"""``make bench``: figures side by side, in one run, and what to compare them with.

    python -m bench [--quick] [--rounds N] [--no-peers] [--json]

Only ratios count: the load generator and other work of the machine share the processors with the
measured processes. Every figure is the median of its rounds, and each round measures all candidates
in turn. Figures that depend on the number of worker processes (1, 2, 4) or on the database (empty,
filled) are measured in each of these settings, outside the usual one with smaller samples.
``bench/setup`` installs the peers.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from bench import peers, report
from bench.figures import Figures
from bench.machine import machine
from bench.results_file import keep_results
from bench.rounds import FULL, QUICK, BenchRounds

HERE = Path(__file__).parent


@click.command()
@click.option("--quick", is_flag=True, help="Small samples: a few minutes, for a first impression.")
@click.option("--rounds", type=click.IntRange(1), help="Number of rounds for each figure.")
@click.option(
    "--peers/--no-peers",
    "with_peers",
    default=True,
    help="Measure the peers that bench/setup installs.",
)
@click.option("--keep/--no-keep", default=True, help="Write results.json and results.svg.")
def main(*, quick: bool, rounds: int | None, with_peers: bool, keep: bool) -> None:
    """Measure everything, print the tables, and write results.json and results.svg."""
    console = Console(stderr=True)
    scale = QUICK if quick else FULL
    scale = replace(scale, rounds=rounds) if rounds else scale
    try:
        if with_peers:
            peers.require_installed()
    except peers.PeerMissing as missing:
        click.echo(missing, err=True)
        sys.exit(1)
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="paidup-bench-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL below it belongs to another account
        with machine(Path(folder)) as servers:
            made_with = report.versions(servers)
            BenchRounds(servers, scale, figures, console.print, with_peers=with_peers).run()
    if keep:
        keep_results(report.results(figures, scale, made_with))
        (HERE / "results.svg").write_text(report.picture(figures))
    Console().print(
        report.table(figures),
        report.growth(figures, scale),
        report.goals(figures),
        report.who(),
    )


if __name__ == "__main__":
    main()
