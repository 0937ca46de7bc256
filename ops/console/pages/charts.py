"""Draw counts over time as SVG: points become paths and ticks, which a template prints. Pure.

A chart has no script and no inline style, so that the strictest policy of a browser shows it. Its
numbers stand beside it in a table, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil, floor, log10
from typing import Final

WIDTH: Final = 640
HEIGHT: Final = 160
_LEFT: Final = 48
_RIGHT: Final = 8
_TOP: Final = 8
_BOTTOM: Final = 22
_LINES: Final = 3
"""Lines across the chart above that of zero, at most."""
_NICE: Final = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartSeries:
    """One line of a chart: a name, and a value for each time; None where nothing is known."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A number or a time at its place along an axis, in units of the drawing."""

    at: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnSeries:
    """One line as it is drawn; ``latest`` is its last known value."""

    name: str
    path: str
    area: str
    latest: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A drawing of series over time, and the numbers it was drawn from."""

    title: str
    unit: str
    times: Sequence[datetime]
    series: Sequence[ChartSeries]
    drawn: Sequence[DrawnSeries]
    across: Sequence[Tick]
    along: Sequence[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


def draw_chart(
    title: str,
    unit: str,
    times: Sequence[datetime],
    series: Sequence[ChartSeries],
    *,
    first_is_area: bool = True,
) -> Chart:
    """Return the chart of series that have a value for each of the times.

    ``times`` have the zone that the labels show. The first series is filled down to zero unless it
    is one of several equals.
    """
    known = [value for each in series for value in each.values if value is not None]
    top, step = _scale(max(known, default=0.0))
    drawn = tuple(
        DrawnSeries(
            name=each.name,
            path=_path(each.values, top),
            area=_area(each.values, top) if first_is_area and number == 0 else "",
            latest=next((value for value in reversed(each.values) if value is not None), None),
        )
        for number, each in enumerate(series)
    )
    lines = round(top / step)
    across = tuple(Tick(at=_y(step * n, top), label=f"{step * n:g}") for n in range(lines + 1))
    return Chart(
        title=title,
        unit=unit,
        times=times,
        series=series,
        drawn=drawn,
        across=across,
        along=_time_ticks(times),
    )


def _scale(highest: float) -> tuple[float, float]:
    """Return the value at the top and the step of the lines: 1, 2 or 5 times a power of ten."""
    if highest <= 0:
        return 1.0, 1.0
    least = highest / _LINES
    power = 10.0 ** floor(log10(least))
    step = next(nice * power for nice in _NICE if nice * power >= least * (1 - 1e-9))
    return step * max(ceil(highest / step - 1e-9), 1), step


def _x(number: int, count: int) -> float:
    room = WIDTH - _LEFT - _RIGHT
    return round(_LEFT + (room * number / (count - 1) if count > 1 else room / 2), 1)


def _y(value: float, top: float) -> float:
    return round(HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * value / top, 1)


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Return the stretches without a gap, each as places and values."""
    runs: list[list[tuple[int, float]]] = []
    gap = True
    for place, value in enumerate(values):
        if value is None:
            gap = True
            continue
        if gap:
            runs.append([])
        runs[-1].append((place, value))
        gap = False
    return runs


def _path(values: Sequence[float | None], top: float) -> str:
    """Return the line; a lone point becomes a short dash."""
    count = len(values)
    parts = []
    for run in _runs(values):
        points = [f"{_x(place, count)} {_y(value, top)}" for place, value in run]
        parts.append("M" + "L".join(points) + ("h1" if len(run) == 1 else ""))
    return "".join(parts)


def _area(values: Sequence[float | None], top: float) -> str:
    count, zero = len(values), _y(0, top)
    parts = []
    for run in _runs(values):
        points = "L".join(f"{_x(place, count)} {_y(value, top)}" for place, value in run)
        first, last = _x(run[0][0], count), _x(run[-1][0], count)
        parts.append(f"M{first} {zero}L{points}L{last} {zero}Z")
    return "".join(parts)


def _time_ticks(times: Sequence[datetime]) -> tuple[Tick, ...]:
    """Return the first, a middle and the last time, as a clock shows them."""
    if not times:
        return ()
    places = sorted({0, (len(times) - 1) // 2, len(times) - 1})
    return tuple(Tick(at=_x(n, len(times)), label=f"{times[n]:%H:%M}") for n in places)
