"""Figures of the simulation as tables, for a terminal and for the page, and as a picture."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from math import log10
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from bench.simulate.check import Compared
from bench.simulate.grid import (
    MOST_AGE_SECONDS,
    NEEDED_AT,
    WORKERS,
    SimulatedCell,
    usual,
)
from bench.simulate.times import ServiceTimes
from bench.simulate.waiting import WaitingSize
from ops.generated_docs import renewed
from runtime.inbox.room import FULL_AT_PERCENT

_DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = _DOCS / "scaling.md"
PICTURE: Final = _DOCS / "scaling-simulated.svg"

Results = Mapping[str, Any]
"""The part of results.json."""

Rows = list[list[str]]
"""A table; the first row is its head."""

OUTAGE_RATES: Final = (1, 10, 100, 1000)
"""Events per second."""

_DAY_SECONDS: Final = 86_400
_COLOURS: Final = ("#2563eb", "#16a34a", "#f59e0b")
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BELOW = 800, 400, 60, 50, 640, 340
_MOST: Final = 15
_LOWEST, _HIGHEST = 100, 20_000


def tables(results: Results) -> dict[str, Rows]:
    """Return every table by the name of its part on the page."""
    cells = [SimulatedCell.read(each) for each in results["cells"]]
    needs = [SimulatedCell.read(each) for each in results["needs"]]
    compared = [Compared(**each) for each in results["check"]]
    waiting = [WaitingSize(**each) for each in results["waiting"]]
    times = ServiceTimes.read(results["times"])
    return {
        "times": times_rows(times),
        "simulated": cell_rows(cells),
        "needs": need_rows(usual(needs)),
        "processors": processor_rows(usual(needs)),
        "waiting": waiting_rows(waiting),
        "outage": outage_rows(waiting),
        "check": check_rows(compared),
    }


def cell_rows(cells: Sequence[SimulatedCell]) -> Rows:
    """Return a row for each rate: the lag with each number of workers, or what is the limit."""
    rows = [["events/s", *(_workers(number) for number in WORKERS)]]
    for rate, of_rate in groupby(cells, key=lambda cell: cell.rate):
        rows.append([f"{rate:,}", *(_lag_or_limit(cell) for cell in of_rate)])
    return rows


def _workers(number: int) -> str:
    return "1 worker" if number == 1 else str(number)


def _lag_or_limit(cell: SimulatedCell) -> str:
    if cell.limit is not None:
        return f"{cell.limit}: {_two_digits(cell.settled)}/s"
    return f"{_two_digits(cell.lag_p99)} ms"


def need_rows(needs: Sequence[SimulatedCell]) -> Rows:
    """Return a row for each rate with the least workers: what is settled after how long."""
    head = ["events/s", "workers", "busy", "events in a batch"]
    head += ["lag p50, ms", "p95", "p99", "oldest due, s"]
    return [head, *([f"{cell.rate:,}", str(cell.workers), *_of(cell)] for cell in needs)]


def _of(cell: SimulatedCell) -> list[str]:
    lags = [_two_digits(value) for value in (cell.lag_p50, cell.lag_p95, cell.lag_p99)]
    busy = f"{cell.workers_busy:.0%}".replace("%", " %")
    return [busy, f"{cell.events_of_batch:.0f}", *lags, f"{cell.age_most:.1f}"]


def processor_rows(needs: Sequence[SimulatedCell]) -> Rows:
    """Return a row for each rate with the processors that each part keeps busy."""
    head = ["events/s", "ingest", "Redis", "workers", "PostgreSQL", "together", "ms of an event"]
    return [head, *map(_processor_row, needs)]


def _processor_row(cell: SimulatedCell) -> list[str]:
    parts = (cell.ingest, cell.redis, cell.workers_processors, cell.postgresql)
    together = sum(parts)
    each = together / cell.settled * 1000
    return [f"{cell.rate:,}", *(f"{part:.2f}" for part in (*parts, together, each))]


def waiting_rows(waiting: Sequence[WaitingSize]) -> Rows:
    """Return a row for each size of body: what one waiting event takes of Redis."""
    head = ["body, bytes", "memory", "as reported", "append-only file", "to read it at a start, ms"]
    rows = [
        [
            f"{each.body_bytes:,}",
            f"{each.memory_bytes:,.0f}",
            f"{each.reported_bytes:,}",
            f"{each.file_bytes:,.0f}",
            f"{each.load_seconds * 1000:.2f}",
        ]
        for each in waiting
    ]
    return [head, *rows]


def outage_rows(waiting: Sequence[WaitingSize]) -> Rows:
    """Return a row for each rate: events of a day, and ``maxmemory`` for them by size of body."""
    head = ["events/s", "events of a day"]
    head += [f"bodies of {each.body_bytes:,}" for each in waiting]
    return [head, *(_outage_row(rate, waiting) for rate in OUTAGE_RATES)]


def _outage_row(rate: int, waiting: Sequence[WaitingSize]) -> list[str]:
    events = rate * _DAY_SECONDS
    sizes = (each.memory_bytes * events * 100 / FULL_AT_PERCENT for each in waiting)
    return [f"{rate:,}", f"{events:,}", *(f"{_two_digits(size / 1e9)} GB" for size in sizes)]


def times_rows(times: ServiceTimes) -> Rows:
    """Return the service times: those of batches by size, in ms of processor time."""
    head = ["events in a batch", "worker, ms", "PostgreSQL, ms", "Redis, ms", "round trips"]
    rows = [
        [
            f"{each.events:.0f}",
            *(f"{value * 1000:.1f}" for value in (each.worker, each.postgresql, each.redis)),
            f"{each.round_trips:.0f}",
        ]
        for each in times.batches
    ]
    return [head, *rows]


def check_rows(compared: Sequence[Compared]) -> Rows:
    """Return a row for each setting that ran for real."""
    head = ["ms to PostgreSQL", "processes", "drained/s", "simulated", "ratio", "at a rate of"]
    head += ["lag p50, ms", "simulated", "p99, ms", "simulated", "processors of others"]
    return [head, *map(_compared_row, compared)]


def _compared_row(each: Compared) -> list[str]:
    pairs = (each.p50, each.p50_simulated, each.p99, each.p99_simulated)
    return [
        f"{each.delay_ms:.0f}",
        str(each.processes),
        f"{each.drained:.0f}",
        f"{each.drained_simulated:.0f}",
        f"{each.ratio:.2f}",
        f"{each.rate}/s",
        *(f"{value:.0f}" for value in pairs),
        f"{each.outside:.1f}",
    ]


def _two_digits(value: float) -> str:
    """Return a number with two digits that count, since a simulation has no more."""
    digits = 1 - int(log10(value)) if value >= 1 else 1
    return f"{round(value, digits):,.{max(digits, 0)}f}"


def shown(title: str, rows: Rows) -> Table:
    """Return a table for a terminal."""
    table = Table(*rows[0], title=title)
    for row in rows[1:]:
        table.add_row(*row)
    return table


def markdown(rows: Rows) -> str:
    """Return a table for the page."""
    head = f"| {' | '.join(rows[0])} |\n|{'---:|' * len(rows[0])}\n"
    return head + "".join(f"| {' | '.join(row)} |\n" for row in rows[1:])


def renewed_page(text: str, results: Results) -> str:
    """Return the text of the page with the tables of these results."""
    found = tables(results)
    return renewed(text, {name: partial(markdown, rows) for name, rows in found.items()})


def write(results: Results) -> None:
    """Write the tables and the picture."""
    PAGE.write_text(renewed_page(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    PICTURE.write_text(picture(results), encoding="utf-8")


# The picture --------------------------------------------------------------------------------


def picture(results: Results) -> str:
    """Draw the workers needed against the rate, for each distance, and the limit of Redis."""
    needs = [SimulatedCell.read(each) for each in results["needs"]]
    by_distance = groupby(needs, key=lambda cell: cell.distance_ms)
    lines = "".join(
        _line(number, distance, list(of_distance))
        for number, (distance, of_distance) in enumerate(by_distance)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="13">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>'
        '<text x="12" y="22" font-weight="bold">Worker processes needed, simulated: the oldest due '
        f"event stays below {MOST_AGE_SECONDS:.0f} s</text>"
        f"{''.join(_grid())}{_limit(redis_limit(results))}{lines}</svg>\n"
    )


def redis_limit(results: Results) -> float:
    """Return the most events a second that any simulated installation settled."""
    return max(float(each["settled"]) for each in results["cells"])


def _grid() -> Iterator[str]:
    for workers in range(0, _MOST + 1, 5):
        y = _y(workers)
        yield f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{y}" y2="{y}" stroke="#e5e7eb"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{workers}</text>'
    for rate in (*NEEDED_AT, _HIGHEST):
        yield f'<text x="{_x(rate)}" y="{_BELOW + 20}" text-anchor="middle">{rate:,}</text>'
    yield f'<text x="{_LEFT}" y="{_BELOW + 44}">events a second</text>'


def _limit(rate: float) -> str:
    x = _x(rate)
    return (
        f'<line x1="{x}" x2="{x}" y1="{_TOP}" y2="{_BELOW}" stroke="#dc2626" '
        f'stroke-dasharray="5 4"/><text x="{x - 6}" y="{_TOP + 12}" fill="#dc2626" '
        f'text-anchor="end">one Redis has no more time</text>'
    )


def _line(number: int, distance_ms: float, needs: Sequence[SimulatedCell]) -> str:
    colour = _COLOURS[number % len(_COLOURS)]
    points = [(_x(cell.rate), _y(cell.workers)) for cell in needs]
    path = " ".join(f"{x},{y}" for x, y in points)
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in points)
    beside = (
        f'<text x="{_RIGHT + 10}" y="{_TOP + 22 * number + 12}" fill="{colour}">'
        f"{distance_ms:g} ms to PostgreSQL</text>"
    )
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}{beside}'
    )


def _x(rate: float) -> float:
    share = log10(rate / _LOWEST) / log10(_HIGHEST / _LOWEST)
    return round(_LEFT + share * (_RIGHT - _LEFT), 1)


def _y(workers: float) -> float:
    return round(_BELOW - min(workers / _MOST, 1.0) * (_BELOW - _TOP), 1)
