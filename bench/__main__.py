"""``make bench``: figures side by side, in one run, with what they should be compared to.

    python -m bench [--rounds N] [--events N]

Ratios are what counts: the load generator shares the processors with all that it measures, and
so does whatever else the machine does. Every figure is the median of its rounds, and baselines
take turns with us inside each round.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median

import click
from rich.console import Console

from bench import measures, processes, report
from ops.up import Stack

HERE = Path(__file__).parent
_FAST_RATE = 1000.0

Figures = dict[str, list[float]]


@click.command()
@click.option("--rounds", default=5, show_default=True, help="How often each figure is taken.")
@click.option("--events", default=6000, show_default=True, help="Events for each figure.")
def main(rounds: int, events: int) -> None:
    """Measure, print the table, and write results.json and results.svg."""
    console = Console(stderr=True)
    figures: Figures = defaultdict(list)
    fresh = (measures.bodies(events, f"bench/{n}") for n in count())
    for number in range(1, rounds + 1):
        console.print(f"round {number} of {rounds}")
        with processes.stack(2) as running:
            _with_two(running, figures, fresh)
        with processes.stack(1) as running:
            _take(figures, "drain, 1 process", lambda: measures.drained(running, next(fresh)))
    medians = {name: median(values) for name, values in figures.items()}
    results = {"rounds": rounds, "events": events, "medians": medians, "all": dict(figures)}
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "results.svg").write_text(report.picture(medians))
    Console().print(report.table(figures))


def _with_two(running: Stack, figures: Figures, fresh: Iterator[list[bytes]]) -> None:
    port = running.settings.ingest_bind.port
    _take(figures, "end to end, Paidup", lambda: measures.end_to_end(running, next(fresh)))
    with _usual(running) as usual_port:
        events = next(fresh)
        # It takes long enough with a quarter of them.
        few = events[: len(events) // 4]
        _take(
            figures,
            "end to end, the usual handler",
            lambda: measures.usual_end_to_end(running, usual_port, few),
        )
    paced = measures.acknowledged(port, next(fresh), rate=_FAST_RATE)
    figures["p50 of the answer at 1,000/s while workers drain, ms"].append(paced.percentile(50))
    figures["p99 of the answer at 1,000/s while workers drain, ms"].append(paced.percentile(99))
    _take(figures, "drain, 2 processes", lambda: measures.drained(running, next(fresh)))
    if running.worker:
        running.worker.stop()
    _take(figures, "answers/s, Paidup", lambda: measures.acknowledged(port, next(fresh)).rate)
    with processes.limit(running) as limit_port:
        _take(
            figures,
            "answers/s, one Redis write",
            lambda: measures.acknowledged(limit_port, next(fresh)).rate,
        )


@contextmanager
def _usual(running: Stack) -> Iterator[int]:
    # Our own workers would wait idle beside it; stopping them is fairer still.
    if running.worker:
        running.worker.stop()
    with processes.usual(running, 2) as port:
        yield port
    if running.worker:
        running.worker.start()


def _take(figures: Figures, name: str, measure: Callable[[], float]) -> None:
    figures[name].append(measure())


if __name__ == "__main__":
    main()
