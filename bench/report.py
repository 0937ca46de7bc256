"""The table, the picture and the file of a run."""

import os
import platform
from dataclasses import asdict
from itertools import groupby
from statistics import median
from typing import Any

from rich.table import Table

from bench.figures import (
    ACKNOWLEDGED,
    DJSTRIPE,
    DRAIN,
    END_TO_END,
    NOTHING,
    ONE_WRITE,
    PAIDUP,
    PIPELINE,
    SYNC_ENGINE,
    USUAL,
    Figures,
    judged,
    processes,
)
from bench.machine import Machine
from bench.peers import WHAT_THEY_DO
from bench.rounds import Scale

_OURS, _THEIRS, _LIMITS = "#2563eb", "#9ca3af", "#d6d3d1"
_BARS = (
    (END_TO_END, PAIDUP, _OURS),
    (END_TO_END, SYNC_ENGINE, _THEIRS),
    (END_TO_END, USUAL, _THEIRS),
    (END_TO_END, DJSTRIPE, _THEIRS),
    (DRAIN, processes(1), _OURS),
    (DRAIN, processes(2), _OURS),
    (DRAIN, PIPELINE, _LIMITS),
    (ACKNOWLEDGED, PAIDUP, _OURS),
    (ACKNOWLEDGED, ONE_WRITE, _LIMITS),
    (ACKNOWLEDGED, NOTHING, _LIMITS),
)
_HEAD, _ROW = 40, 30


def table(figures: Figures) -> Table:
    """Every figure: its median, the least and the most."""
    shown = Table("figure", "", "median", "least", "most", "unit")
    for kind, group in groupby(sorted_by_kind(figures), key=lambda each: each[0].kind):
        for first, (figure, values) in enumerate(group):
            cells = (_number(value) for value in (median(values), min(values), max(values)))
            shown.add_row("" if first else kind, figure.name, *cells, figure.unit)
        shown.add_section()
    return shown


def goals(figures: Figures) -> Table:
    """What is held against a goal."""
    shown = Table("ratio or bound, of medians", "is", "goal", "")
    for goal, value in judged(figures):
        shown.add_row(
            goal.says, _number(value), goal.wanted, "" if goal.reached(value) else "not yet"
        )
    return shown


def who() -> Table:
    """What each of the others does and does not do."""
    shown = Table("beside us", "what it does, and what it does not", show_lines=True)
    for name, sentence in WHAT_THEY_DO.items():
        shown.add_row(name, sentence)
    return shown


def sorted_by_kind(figures: Figures) -> list[tuple[Any, list[float]]]:
    """Figures of a kind together, kinds in the order in which they first came."""
    kinds = list(dict.fromkeys(figure.kind for figure in figures.values))
    return sorted(figures.values.items(), key=lambda each: kinds.index(each[0].kind))


def versions(machine: Machine) -> dict[str, Any]:
    """On what it is going to be measured, and how busy that was in the five minutes before."""
    with machine.redis.client() as client:
        redis = client.info("server")
    return {
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "redis": redis.get("valkey_version") or redis["redis_version"],
        "load_before": os.getloadavg()[1],
    }


def results(figures: Figures, scale: Scale, made_with: dict[str, Any]) -> dict[str, Any]:
    """Everything, for results.json."""
    return {
        "made_with": made_with,
        "scale": asdict(scale),
        "goals": [
            {"says": goal.says, "goal": goal.wanted, "is": value, "reached": goal.reached(value)}
            for goal, value in judged(figures)
        ],
        "figures": figures.as_json(),
    }


def picture(figures: Figures) -> str:
    """Bars of events a second, drawn without a library so that the picture is a small text."""
    found = [(kind, name, colour, figures.median(kind, name)) for kind, name, colour in _BARS]
    bars = [(f"{kind}: {name}", colour, value) for kind, name, colour, value in found if value]
    # What does nothing is so far ahead that it would make all others look alike.
    most = max(value for label, _, value in bars if NOTHING not in label)
    height = _HEAD + _ROW * len(bars) + 10
    drawn = "".join(_bar(i, label, value, most, c) for i, (label, c, value) in enumerate(bars))
    title = "Events a second, every one flushed to disk, on processors shared with the generator"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" '
        'font-family="sans-serif" font-size="13">'
        f'<rect width="760" height="{height}" fill="#ffffff"/>'
        f'<text x="12" y="22" font-weight="bold">{title}</text>{drawn}</svg>\n'
    )


def _bar(index: int, label: str, value: float, most: float, colour: str) -> str:
    top, width = _HEAD + _ROW * index, min(400 * value / most, 430)
    return (
        f'<text x="252" y="{top + 16}" text-anchor="end">{label}</text>'
        f'<rect x="260" y="{top}" width="{width:.0f}" height="22" fill="{colour}"/>'
        f'<text x="{268 + width:.0f}" y="{top + 16}">{value:,.0f}</text>'
    )


def _number(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2  # noqa: PLR2004 - to read
    return f"{value:,.{digits}f}"
