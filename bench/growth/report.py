"""Figures of growth as the part of results.json, as tables, and as a picture."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from math import log10
from statistics import median
from typing import Any, Final

from rich.table import Table

from bench.growth.moves import MoveCosts
from bench.growth.parties import PAYMENTS
from bench.growth.run import PASTS, GrowthCell, GrowthScale

Entry = Mapping[str, Any]
Results = Mapping[str, Any]
"""The part of results.json."""

_COLUMNS: Final = (
    "one further event",
    "after",
    "worker, ms",
    "PostgreSQL, ms",
    "to a new one",
    "rows read",
    "kB read",
)
_MOVED: Final = "a move after"
_MOVE_COLUMNS: Final = {
    "in one transaction, ms": "at_once_ms",
    "committed at once, ms": "first_ms",
    "steps": "steps",
    "longest step, ms": "longest_step_ms",
    "all steps, ms": "all_steps_ms",
}
"""The names of figures by the headings of their columns."""

_COLOURS: Final = ("#2563eb", "#16a34a", "#f59e0b", "#dc2626", "#7c3aed")
_WIDTH, _LEFT, _STEP, _TOP, _HEIGHT = 800, 70, 130, 50, 260
_MOST: Final = 1000
"""The ratio at the upper edge of the picture, which begins at a tenth."""


def growth_results(
    cells: Sequence[GrowthCell],
    moves: Sequence[MoveCosts],
    scale: GrowthScale,
    made_with: dict[str, Any],
) -> dict[str, Any]:
    """Return the part of results.json; what took too long has no figures of time."""
    new = {cell.event: cell for cell in cells if cell.size == 0 and cell.event in PASTS}
    return {
        "made_with": made_with,
        "scale": asdict(scale),
        "cells": [_entry(cell, new.get(cell.event)) for cell in cells],
        "moves": [_move(each) for each in moves],
    }


def _move(costs: MoveCosts) -> dict[str, Any]:
    steps = [[each.together for each in of_move] for of_move in costs.steps]
    return {
        "past": costs.size,
        "at_once_ms": median(each.together for each in costs.at_once),
        "first_ms": median(each.together for each in costs.first),
        "steps": median(map(len, steps)),
        "longest_step_ms": median(max(each, default=0.0) for each in steps),
        "all_steps_ms": median(map(sum, steps)),
    }


def _entry(cell: GrowthCell, new: GrowthCell | None) -> dict[str, Any]:
    taken = [] if cell.too_slow else cell.costs
    ratios = [
        cost.together / base.together
        for cost, base in zip(taken, new.costs if new else (), strict=False)
    ]
    return {
        "event": cell.event,
        "past": cell.size,
        "worker_ms": median(cost.worker for cost in taken) if taken else None,
        "postgresql_ms": median(cost.postgresql for cost in taken) if taken else None,
        "to_new": median(ratios) if ratios else None,
        "rows": cell.read and cell.read.rows,
        "kilobytes": cell.read and cell.read.kilobytes,
        "all": [list(cost) for cost in taken],
    }


def growth_rows(results: Results) -> Iterator[list[str]]:
    """Yield the cells of each row as text."""
    for _, entries in groupby(results["cells"], key=lambda entry: entry["event"]):
        for number, entry in enumerate(entries):
            yield [_event(entry, first=number == 0), _past(entry), *_figures(entry, results)]


def _event(entry: Entry, *, first: bool) -> str:
    return str(entry["event"]) if first else ""


def _past(entry: Entry) -> str:
    return f"{entry['past']:,} {PASTS[entry['event']]}" if entry["past"] else "new"


def _figures(entry: Entry, results: Results) -> list[str]:
    read = [_number(entry[name]) for name in ("rows", "kilobytes")]
    if entry["worker_ms"] is None:
        return [f"not measured (over {results['scale']['seconds']:g} s)", "", "", *read]
    return [_number(entry[name]) for name in ("worker_ms", "postgresql_ms", "to_new")] + read


def _move_rows(results: Results) -> Iterator[list[str]]:
    for entry in results["moves"]:
        past = f"{entry['past']:,} {PAYMENTS.past}"
        times = [_number(entry[name]) for name in _MOVE_COLUMNS.values()]
        yield [past, *times[:2], f"{entry['steps']:.0f}", *times[3:]]


def moves_table(results: Results) -> Table:
    """Return the table of moves for a terminal."""
    shown = Table(_MOVED, *_MOVE_COLUMNS)
    for row in _move_rows(results):
        shown.add_row(*row)
    return shown


def moves_markdown(results: Results) -> str:
    """Return the table of moves for a page."""
    head = f"| {' | '.join([_MOVED, *_MOVE_COLUMNS])} |\n|---|{'---:|' * len(_MOVE_COLUMNS)}\n"
    return head + "".join(f"| {' | '.join(row)} |\n" for row in _move_rows(results))


def table(results: Results) -> Table:
    """Return the table for a terminal."""
    shown = Table(*_COLUMNS)
    for row in growth_rows(results):
        if row[0] and shown.row_count:
            shown.add_section()
        shown.add_row(*row)
    return shown


def markdown(results: Results) -> str:
    """Return the table for a page."""
    head = f"| {' | '.join(_COLUMNS)} |\n|---|{'---:|' * (len(_COLUMNS) - 1)}\n"
    return head + "".join(f"| {' | '.join(row)} |\n" for row in growth_rows(results))


def picture(results: Results) -> str:
    """Draw a line for each kind of event: what it costs after each past, to that of a new one."""
    sizes = sorted({size for entry in _drawn(results) for size in (entry["past"],)})
    places = {size: _LEFT + 10 + _STEP * number for number, size in enumerate(sizes)}
    lines = groupby(_drawn(results), key=lambda entry: entry["event"])
    drawn = "".join(
        _line(number, name, list(entries), places) for number, (name, entries) in enumerate(lines)
    )
    height = _TOP + _HEIGHT + 60
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="sans-serif" font-size="13">'
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>'
        '<text x="12" y="22" font-weight="bold">Processor time of one further event, worker and '
        "PostgreSQL, to that of a new party</text>"
        f"{_axes(places)}{drawn}</svg>\n"
    )


def _drawn(results: Results) -> list[Entry]:
    return [entry for entry in results["cells"] if entry["to_new"] is not None]


def _axes(places: Mapping[int, float]) -> str:
    grid = "".join(
        f'<line x1="{_LEFT}" x2="{_LEFT + _STEP * len(places)}" y1="{_y(ratio)}" y2="{_y(ratio)}" '
        f'stroke="#e5e7eb"/><text x="{_LEFT - 8}" y="{_y(ratio) + 4}" text-anchor="end">'
        f"{ratio:g}</text>"
        for ratio in (0.1, 1, 2, 10, 100, _MOST)
    )
    names = "".join(
        f'<text x="{x}" y="{_TOP + _HEIGHT + 22}" text-anchor="middle">{size:,}</text>'
        for size, x in places.items()
    )
    below = (
        f'<text x="{_LEFT}" y="{_TOP + _HEIGHT + 46}">'
        "payments, periods, observations or grants before it</text>"
    )
    return grid + names + below


def _line(number: int, name: str, entries: Sequence[Entry], places: Mapping[int, float]) -> str:
    colour = _COLOURS[number % len(_COLOURS)]
    points = [(places[entry["past"]], _y(entry["to_new"])) for entry in entries]
    path = " ".join(f"{x},{y}" for x, y in points)
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in points)
    x = _LEFT + _STEP * len(places) + 10
    beside = f'<text x="{x}" y="{_TOP + 24 * number + 10}" fill="{colour}">{name}</text>'
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}{beside}'
    )


def _y(ratio: float) -> float:
    share = (log10(max(ratio, 0.1)) + 1) / (log10(_MOST) + 1)
    return round(_TOP + _HEIGHT * (1 - min(share, 1.0)), 1)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2  # noqa: PLR2004 - to read
    return f"{value:,.{digits}f}"
