"""``python -m bench.scaling``: let workers follow a load by ``billing_workers_needed``.

    python -m bench.scaling [--faster N] [--no-keep]

Everything is real but the cluster: Redis, a PostgreSQL that is as far away as in another place,
workers of one process each. They are started and stopped as Kubernetes would by the settings of
``deploy/kubernetes/worker-scaling.yaml``. Writes ``docs/scaling.svg`` and prints the changes. It
takes a quarter of an hour, because the settings do.
"""

import tempfile
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from bench.machine import machine
from bench.scaling.autoscaler import read_rules
from bench.scaling.picture import picture
from bench.scaling.plan import RISE_AND_FALL
from bench.scaling.run import ScalingRun
from bench.scaling.site import run_on, scaling_site

PICTURE: Final = Path(__file__).parents[2] / "docs" / "scaling.svg"
MOST_WORKERS: Final = 6


@click.command()
@click.option(
    "--faster",
    type=click.FloatRange(1),
    default=1,
    show_default=True,
    help="Divide the times of the load and the autoscaler.",
)
@click.option("--keep/--no-keep", default=True, help="Write the picture.")
def main(*, faster: float, keep: bool) -> None:
    """Run, print the changes, and draw the picture."""
    rules = read_rules(fewest=1, most=MOST_WORKERS, processes_each=1).faster(faster)
    with tempfile.TemporaryDirectory(prefix="paidup-bench-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL below it belongs to another account
        with (
            machine(Path(folder)) as servers,
            scaling_site(servers.postgres, servers.redis, Path(folder)) as site,
        ):
            run, _ = run_on(site, servers.postgres, RISE_AND_FALL.faster(faster), rules)
    if keep:
        PICTURE.write_text(picture(run.samples), encoding="utf-8")
    Console().print(table(run))


def table(run: ScalingRun) -> Table:
    """Return a row for each change of the number of workers, as it was then."""
    rows = Table("minute", "arriving/s", "backlog", "age s", "needed", "workers")
    before = None
    for sample in run.samples:
        if sample.workers != before:
            minute, arriving = f"{sample.at / 60:.1f}", f"{sample.arriving:.0f}"
            numbers = map(str, (sample.backlog, round(sample.age, 1), sample.needed))
            rows.add_row(minute, arriving, *numbers, str(sample.workers))
        before = sample.workers
    return rows


if __name__ == "__main__":
    main()
