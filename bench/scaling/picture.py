"""Draw a run: what arrives, what waits and for how long, and how many processes there are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from bench.scaling.run import ScalingSample

_WIDTH: Final = 860
_LEFT: Final = 70
_RIGHT: Final = 20
_TOP: Final = 52
_HEIGHT: Final = 110
_GAP: Final = 46
_MINUTE: Final = 60
_GREY: Final = "#e5e7eb"
_BLUE, _RED = "#2563eb", "#dc2626"

Value = Callable[[ScalingSample], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPanel:
    """One chart: its title, and each line with its colour and whether it goes in steps."""

    title: str
    lines: Sequence[tuple[str, Value, bool]]
    bound: float | None = None
    """A value that stands as a line of its own."""


PANELS: Final = (
    ScalingPanel(
        title="Events that arrive, per second", lines=[(_BLUE, lambda s: s.arriving, False)]
    ),
    ScalingPanel(
        title="Backlog: events that are due or claimed",
        lines=[(_BLUE, lambda s: s.backlog, False)],
    ),
    ScalingPanel(
        title="Age of the oldest due event, in seconds; the workers are to keep it below 10",
        lines=[(_BLUE, lambda s: s.age, False)],
        bound=10,
    ),
    ScalingPanel(
        title="Worker processes: needed (red), and wanted by the autoscaler (blue)",
        lines=[(_RED, lambda s: s.needed, True), (_BLUE, lambda s: s.workers, True)],
    ),
)


def picture(samples: Sequence[ScalingSample]) -> str:
    """Return an SVG document of the samples; what is grey is the time of a frozen PostgreSQL."""
    height = _TOP + len(PANELS) * (_HEIGHT + _GAP) + 10
    drawn = "".join(_panel(number, panel, samples) for number, panel in enumerate(PANELS))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="sans-serif" font-size="13">'
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>'
        '<text x="12" y="22" font-weight="bold">Workers that follow a load by '
        "billing_workers_needed; PostgreSQL is frozen in the grey seconds</text>"
        f"{drawn}</svg>\n"
    )


def _panel(number: int, panel: ScalingPanel, samples: Sequence[ScalingSample]) -> str:
    top = _TOP + number * (_HEIGHT + _GAP)
    seconds = samples[-1].at
    highest = max(value(sample) for _, value, _ in panel.lines for sample in samples)
    most = _round_up(max(highest, panel.bound or 0, 1))

    def x(at: float) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * at / seconds, 1)

    def y(value: float) -> float:
        return round(top + _HEIGHT * (1 - value / most), 1)

    lines = [
        _line([(x(sample.at), y(value_of(sample))) for sample in samples], colour, steps=steps)
        for colour, value_of, steps in panel.lines
    ]
    minutes = range(0, int(seconds / _MINUTE) + 1, 2)
    return (
        f'<text x="{_LEFT}" y="{top - 8}">{panel.title}</text>{_frozen(samples, x, top)}'
        + "".join(_grid(y(value), f"{value:g}") for value in (0.0, most / 2, most))
        + "".join(_minute(x(minute * _MINUTE), top, minute) for minute in minutes)
        + ("" if panel.bound is None else _bound(y(panel.bound)))
        + "".join(lines)
    )


def _minute(x: float, top: int, minute: int) -> str:
    at = f'x="{x}" y="{top + _HEIGHT + 16}"'
    return f'<text {at} text-anchor="middle" fill="#6b7280">{minute} min</text>'


def _bound(y: float) -> str:
    at = f'x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"'
    return f'<line {at} stroke="{_RED}" stroke-dasharray="4 4"/>'


def _frozen(samples: Sequence[ScalingSample], x: Callable[[float], float], top: int) -> str:
    times = [sample.at for sample in samples if sample.frozen]
    if not times:
        return ""
    first, last = x(times[0]), x(times[-1])
    width = round(last - first, 1)
    return f'<rect x="{first}" y="{top}" width="{width}" height="{_HEIGHT}" fill="#d1d5db"/>'


def _grid(y: float, value: str) -> str:
    line = f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="{_GREY}"/>'
    return f'{line}<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{value}</text>'


def _line(points: Sequence[tuple[float, float]], colour: str, *, steps: bool) -> str:
    """Return a line through the points, without those that change nothing."""
    kept = [points[0]]
    for before, here in pairwise(points):
        if steps and here[1] != kept[-1][1]:
            kept.append((here[0], kept[-1][1]))
        if here[1] != before[1] or not steps:
            kept.append(here)
    kept.append(points[-1])
    path = " ".join(f"{x},{y}" for x, y in kept)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _round_up(value: float) -> float:
    """Return the next round number that has a round half."""
    size = 1.0
    while size * 10 < value:
        size *= 10
    return next(size * step for step in (1, 2, 4, 6, 8, 10) if size * step >= value)
