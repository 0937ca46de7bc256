"""Print the tables and write the picture and the file of a run."""

import os
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from operator import itemgetter
from statistics import median
from typing import Any, Final, TypeVar

from rich.table import Table

from bench.figures import (
    ACKNOWLEDGED,
    DJSTRIPE,
    DRAIN,
    END_TO_END,
    GROWTH,
    NOTHING,
    ONE_WRITE,
    PAIDUP,
    PIPELINE,
    SYNC_ENGINE,
    USUAL,
    USUAL_SETTING,
    Figure,
    Figures,
    grown,
    measured_goals,
    processes,
)
from bench.machine import BenchMachine
from bench.peers import WHAT_THEY_DO
from bench.rounds import Scale
from runtime.database.engine import connector, conninfo_of

_OURS, _THEIRS, _LIMITS = "#2563eb", "#9ca3af", "#d6d3d1"
_BARS = (
    (END_TO_END, PAIDUP, _OURS),
    (END_TO_END, SYNC_ENGINE, _THEIRS),
    (END_TO_END, USUAL, _THEIRS),
    (END_TO_END, DJSTRIPE, _THEIRS),
    (DRAIN, processes(2), _OURS),
    (DRAIN, PIPELINE, _LIMITS),
    (ACKNOWLEDGED, PAIDUP, _OURS),
    (ACKNOWLEDGED, ONE_WRITE, _LIMITS),
    (ACKNOWLEDGED, NOTHING, _LIMITS),
)
_HEAD, _ROW = 40, 30
_RATE: Final = "events/s"
_WORDS: Final = re.compile(" process(es)?| database")

Bar = tuple[str, str, float]
"""The label, colour and events per second of a bar."""

Of = TypeVar("Of")
Row = tuple[Figure, Of]


def table(figures: Figures) -> Table:
    """Return the figures of the usual setting: median, minimum and maximum."""
    shown = Table("figure", "median", "least", "most", "unit")
    usual = [row for row in figures.values.items() if row[0].setting == USUAL_SETTING]
    rows = [(figure, [median(v), min(v), max(v)]) for figure, v in usual]
    return _with_rows(shown, rows)


def growth(figures: Figures, scale: Scale) -> Table:
    """Return each figure for the numbers of worker processes and for the filled database."""
    few = scale.reduced
    shown = Table(
        "medians by worker processes",
        *(_WORDS.sub("", setting) for setting in GROWTH),
        "unit",
        caption=(
            f"2: {scale.seconds} s at each pace, {scale.backlog:,} events waiting; the others:"
            f" {few.seconds} s and {few.backlog:,}. Filled: {scale.filled:,} events before."
        ),
    )
    return _with_rows(shown, grown(figures))


def _with_rows(shown: Table, rows: Iterable[Row[Sequence[float | None]]]) -> Table:
    for kind, group in groupby(sorted_by_kind(rows), key=lambda row: row[0].kind):
        shown.add_row(f"[bold]{kind}")
        for figure, values in group:
            cells = ("" if value is None else _number(value) for value in values)
            shown.add_row(f"  {figure.name}", *cells, figure.unit)
        shown.add_section()
    return shown


def goals(figures: Figures) -> Table:
    """Return the goals with their measured values."""
    shown = Table("bound, or ratio by rounds: medians", "is", "goal", "")
    for goal, value in measured_goals(figures):
        shown.add_row(
            goal.says, _number(value), goal.wanted, "" if goal.reached(value) else "not yet"
        )
    return shown


def who() -> Table:
    """Return the table of what each peer does and does not do."""
    shown = Table("beside us", "what it does, and what it does not", show_lines=True)
    for name, sentence in WHAT_THEY_DO.items():
        shown.add_row(name, sentence)
    return shown


def sorted_by_kind(rows: Iterable[Row[Of]]) -> list[Row[Of]]:
    """Group figures by kind, kinds in the order in which they first came."""
    rows = list(rows)
    kinds = list(dict.fromkeys(figure.kind for figure, _ in rows))
    return sorted(rows, key=lambda row: kinds.index(row[0].kind))


def versions(machine: BenchMachine) -> dict[str, Any]:
    """Return the machine and its load in the last five minutes."""
    with machine.redis.client() as client:
        redis = client.info("server")
    connect = connector(conninfo_of(machine.database("versions")), application_name="bench")
    with connect() as connection:
        compression = connection.execute("SHOW default_toast_compression").fetchone()
        postgresql = connection.info.server_version
    return {
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "redis": redis.get("valkey_version") or redis["redis_version"],
        "postgresql": f"{postgresql // 10_000}.{postgresql % 10_000}",
        "bodies_compressed_by": compression and compression[0],
        "load_before": os.getloadavg()[1],
    }


def results(figures: Figures, scale: Scale, made_with: dict[str, Any]) -> dict[str, Any]:
    """Return the document for results.json."""
    return {
        "made_with": made_with,
        "scale": asdict(scale),
        "goals": [
            {"says": goal.says, "goal": goal.wanted, "is": value, "reached": goal.reached(value)}
            for goal, value in measured_goals(figures)
        ],
        "figures": figures.as_json(),
    }


def picture(figures: Figures) -> str:
    """Draw bars of events per second, without a library so that the picture is a small text."""
    groups = {
        "Events a second, every one flushed to disk, on processors shared with the generator": (
            _beside(figures)
        ),
        "How that grows with worker processes and with the database": _growing(figures),
    }
    # The limit that does nothing is so far ahead that all other bars would look alike.
    most = max(v for bars in groups.values() for label, _, v in bars if NOTHING not in label)
    top, drawn = 0, ""
    for title, bars in filter(itemgetter(1), groups.items()):
        drawn += f'<text x="12" y="{top + 22}" font-weight="bold">{title}</text>'
        drawn += "".join(_bar(top + _HEAD + _ROW * i, bar, most) for i, bar in enumerate(bars))
        top += _HEAD + _ROW * len(bars)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {top + 10}" '
        'font-family="sans-serif" font-size="13">'
        f'<rect width="800" height="{top + 10}" fill="#ffffff"/>{drawn}</svg>\n'
    )


def _beside(figures: Figures) -> list[Bar]:
    found = [(kind, name, colour, figures.median(kind, name)) for kind, name, colour in _BARS]
    return [(f"{kind}: {name}", colour, value) for kind, name, colour, value in found if value]


def _growing(figures: Figures) -> list[Bar]:
    return [
        (f"{figure.kind}: {setting}", _OURS, value)
        for figure, values in grown(figures)
        for setting, value in zip(GROWTH, values, strict=True)
        if value and figure.unit == _RATE
    ]


def _bar(top: int, bar: Bar, most: float) -> str:
    label, colour, value = bar
    width = min(400 * value / most, 430)
    return (
        f'<text x="292" y="{top + 16}" text-anchor="end">{label}</text>'
        f'<rect x="300" y="{top}" width="{width:.0f}" height="22" fill="{colour}"/>'
        f'<text x="{308 + width:.0f}" y="{top + 16}">{value:,.0f}</text>'
    )


def _number(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2  # noqa: PLR2004 - to read
    return f"{value:,.{digits}f}"
