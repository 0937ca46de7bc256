"""Draw a dashboard as SVG from its panels and what Prometheus answered. Pure.

Grafana is not needed for it. The picture has Grafana's grid, titles, units, legends and colours of
values; it is no copy of Grafana's drawing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from math import ceil, floor, isfinite
from typing import Final

from bench.dashboards.formats import format_at_axis, format_value, nice_step, series_name
from bench.dashboards.reading import DashboardPanel, GrafanaDashboard, PanelPlace

WIDTH: Final = 1200
_CELL: Final = WIDTH / 24
_ROW: Final = 30
_TOP: Final = 44
_GAP: Final = 4
_LEFT: Final = 58
_LEGEND: Final = 16
_LINES: Final = 4
"""Lines across a plot, at most, above that of zero."""
_LETTER: Final = 6.4
"""About the width of a letter of the legend."""

_COLOURS: Final = (
    *("#3f8f4f", "#d9a300", "#2f9fb8", "#e0752d", "#c4342b", "#1f60c4", "#a352cc", "#5e4b9c"),
    *("#7a7f87", "#8a6d3b"),
)
_OF_VALUES: Final = {"green": "#2c8a3d", "yellow": "#b88200", "red": "#c4162a"}
_INK, _PALE, _GRID = "#24292e", "#6b7280", "#e5e7eb"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromSeries:
    """One series of an answer: its name in the legend, its labels, and values by time."""

    name: str
    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureTimes:
    """The time that the picture covers, and the step between two points."""

    start: float
    end: float
    step: float


Series = Sequence[PromSeries]


def draw(
    dashboard: GrafanaDashboard,
    answers: Mapping[int, Series],
    notes: Series,
    times: PictureTimes,
) -> str:
    """Return the picture; ``answers`` has the series of each panel by its number."""
    height = _TOP + max(p.place.y + p.place.h for p in dashboard.panels) * _ROW + _GAP
    drawn = "".join(
        _panel(panel, answers.get(panel.number, ()), notes, times) for panel in dashboard.panels
    )
    about = "drawn from deploy/grafana/dashboards and the answers of a Prometheus, not by Grafana"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="12" fill="{_INK}" role="img" '
        f'aria-label="{escape(dashboard.title)}">'
        f'<rect width="{WIDTH}" height="{height}" fill="#f3f4f6"/>'
        f'<text x="12" y="28" font-size="18" font-weight="bold">{escape(dashboard.title)}</text>'
        f'<text x="{WIDTH - 12}" y="28" text-anchor="end" fill="{_PALE}">{about}</text>'
        f"{drawn}</svg>\n"
    )


def _panel(panel: DashboardPanel, series: Series, notes: Series, times: PictureTimes) -> str:
    frame = _frame(panel.place)
    title = f'<text x="10" y="19" font-weight="bold">{escape(panel.title)}</text>'
    if panel.kind == "row":
        inside = (
            f'<text x="4" y="21" font-size="14" font-weight="bold">{escape(panel.title)}</text>'
        )
        return f'<g transform="translate({frame.x} {frame.y})">{inside}</g>'
    match panel.kind:
        case "stat":
            inside = _stat(panel, series, frame)
        case "table":
            inside = _table(series, frame)
        case "timeseries":
            inside = _lines(panel, series, notes, times, frame)
        case _:
            raise ValueError(f"{panel.title}: no drawing of a panel {panel.kind!r}")
    return (
        f'<g transform="translate({frame.x} {frame.y})">'
        f'<rect width="{frame.w}" height="{frame.h}" rx="3" fill="#ffffff" stroke="{_GRID}"/>'
        f"{title}{inside}</g>"
    )


def _frame(place: PanelPlace) -> PanelPlace:
    """Return the place in units of the drawing."""
    return PanelPlace(
        x=round(place.x * _CELL + _GAP / 2),
        y=_TOP + place.y * _ROW,
        w=round(place.w * _CELL - _GAP),
        h=place.h * _ROW - _GAP,
    )


# Numbers ------------------------------------------------------------------------------


def _stat(panel: DashboardPanel, series: Series, frame: PanelPlace) -> str:
    if not series:
        return _nothing(frame)
    parts = []
    wide = frame.w / len(series)
    for number, each in enumerate(series):
        middle, value = round(wide * (number + 0.5)), each.points[-1][1]
        text = escape(format_value(value, panel))
        size = min(30, round(wide / max(len(text), 1) * 1.5))
        parts.append(
            f'<text x="{middle}" y="{frame.h // 2 + 20}" text-anchor="middle" font-size="{size}" '
            f'font-weight="bold" fill="{_colour_of(value, panel)}">{text}</text>'
        )
        if len(series) > 1 or panel.queries[0].legend:
            parts.append(
                f'<text x="{middle}" y="{frame.h - 14}" text-anchor="middle" fill="{_PALE}">'
                f"{escape(each.name)}</text>"
            )
    return "".join(parts)


def _colour_of(value: float, panel: DashboardPanel) -> str:
    reached = [colour for bound, colour in panel.steps if bound is None or value >= bound]
    return _OF_VALUES[reached[-1]] if reached else _INK


def _nothing(frame: PanelPlace) -> str:
    return (
        f'<text x="{frame.w // 2}" y="{frame.h // 2 + 12}" text-anchor="middle" fill="{_PALE}">'
        "no data</text>"
    )


def _table(series: Series, frame: PanelPlace) -> str:
    if not series:
        return _nothing(frame)
    rows = sorted((s.labels.get("alertname", ""), s.labels.get("severity", "")) for s in series)
    lines = [("alertname", "severity"), *rows][: (frame.h - 30) // 20]
    return "".join(
        f'<text x="10" y="{44 + 20 * number}" fill="{_INK if number else _PALE}">{escape(name)}'
        f'</text><text x="{frame.w // 2}" y="{44 + 20 * number}" '
        f'fill="{_INK if number else _PALE}">{escape(severity)}</text>'
        for number, (name, severity) in enumerate(lines)
    )


# Lines over time ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plot:
    """The rectangle of the lines, and the values and times at its edges."""

    frame: PanelPlace
    times: PictureTimes
    bottom: float
    top: float
    low: float

    def x(self, time: float) -> float:
        share = (time - self.times.start) / (self.times.end - self.times.start)
        return round(_LEFT + share * (self.frame.w - _LEFT - 12), 1)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.top - self.low)
        return round(self.bottom - share * (self.bottom - 34), 1)


def _lines(
    panel: DashboardPanel,
    series: Series,
    notes: Series,
    times: PictureTimes,
    frame: PanelPlace,
) -> str:
    shown = [each for each in series if any(isfinite(value) for _, value in each.points)]
    if not shown:
        return _nothing(frame)
    curves = _stacked(shown) if panel.is_stacked else _apart(shown)
    legend, lines = _legend(shown, frame)
    values = [value for curve in curves for value in curve.values() if isfinite(value)]
    low, top, step = _scale(min(values), max(values), panel)
    bottom = frame.h - 26 - lines * _LEGEND
    plot = _Plot(frame=frame, times=times, bottom=bottom, top=top, low=low)
    return "".join(
        (
            _axes(panel, plot, step),
            *(_curve(n, curve, plot, filled=panel.is_stacked) for n, curve in _behind(curves)),
            _bounds(panel, plot),
            *(_note(at, plot) for at in _beginnings(notes, times)),
            legend,
        )
    )


def _behind(curves: Sequence[Mapping[float, float]]) -> list[tuple[int, Mapping[float, float]]]:
    """Return the curves in the order of drawing: the highest of a stack first."""
    return list(enumerate(curves))[::-1]


def _apart(series: Series) -> list[Mapping[float, float]]:
    return [dict(each.points) for each in series]


def _stacked(series: Series) -> list[Mapping[float, float]]:
    """Return each series on top of those before it."""
    below: dict[float, float] = {}
    curves: list[Mapping[float, float]] = []
    for each in series:
        finite = {time: value for time, value in each.points if isfinite(value)}
        below = {time: below.get(time, 0) + finite.get(time, 0) for time in {*below, *finite}}
        curves.append(dict(sorted(below.items())))
    return curves


def _scale(lowest: float, highest: float, panel: DashboardPanel) -> tuple[float, float, float]:
    """Return the lowest and highest value of the axis and the step of its lines."""
    low, high = min(lowest, 0.0), max(highest, 0.0)
    if low == high:
        high = 1.0
    step = nice_step((high - low) / _LINES, panel.unit)
    if panel.decimals == 0:
        step = max(step, 1.0)
    return floor(low / step) * step, ceil(high / step - 1e-9) * step, step


def _axes(panel: DashboardPanel, plot: _Plot, step: float) -> str:
    parts = []
    for number in range(round((plot.top - plot.low) / step) + 1):
        value = plot.low + number * step
        y = plot.y(value)
        parts.append(
            f'<line x1="{_LEFT}" x2="{plot.frame.w - 12}" y1="{y}" y2="{y}" stroke="{_GRID}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end" font-size="11" fill="{_PALE}">'
            f"{escape(format_at_axis(value, panel))}</text>"
        )
    minute = 60.0
    at = ceil(plot.times.start / minute) * minute
    while at < plot.times.end:
        label = f"{datetime.fromtimestamp(at, UTC):%H:%M}"
        parts.append(
            f'<text x="{plot.x(at)}" y="{plot.bottom + 15}" text-anchor="middle" font-size="11" '
            f'fill="{_PALE}">{label}</text>'
        )
        at += minute
    return "".join(parts)


def _curve(number: int, curve: Mapping[float, float], plot: _Plot, *, filled: bool) -> str:
    colour = _COLOURS[number % len(_COLOURS)]
    parts = []
    for run in _runs(curve, plot.times.step):
        points = " ".join(f"{plot.x(time)},{plot.y(value)}" for time, value in run)
        if filled:
            ground = plot.y(0)
            first, last = plot.x(run[0][0]), plot.x(run[-1][0])
            parts.append(
                f'<polygon points="{first},{ground} {points} {last},{ground}" '
                f'fill="{_tint(colour)}"/>'
            )
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )
    return "".join(parts)


def _tint(colour: str) -> str:
    """Return the colour as it is on white with two thirds of the white showing."""
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{(part + 2 * 255) // 3:02x}" for part in parts)


def _runs(curve: Mapping[float, float], step: float) -> Iterator[list[tuple[float, float]]]:
    """Yield the stretches without a gap; a lone point becomes a short dash."""
    points = [(time, value) for time, value in curve.items() if isfinite(value)]
    run = points[:1]
    for before, point in pairwise(points):
        if point[0] - before[0] > step * 1.5:
            yield _at_least_two(run, step)
            run = []
        run.append(point)
    if run:
        yield _at_least_two(run, step)


def _at_least_two(run: list[tuple[float, float]], step: float) -> list[tuple[float, float]]:
    return run if len(run) > 1 else [*run, (run[0][0] + step / 4, run[0][1])]


def _bounds(panel: DashboardPanel, plot: _Plot) -> str:
    if not panel.shows_steps:
        return ""
    return "".join(
        f'<line x1="{_LEFT}" x2="{plot.frame.w - 12}" y1="{plot.y(bound)}" y2="{plot.y(bound)}" '
        f'stroke="{_OF_VALUES[colour]}" stroke-dasharray="6 4"/>'
        for bound, colour in panel.steps
        if bound is not None and plot.low <= bound <= plot.top
    )


def _beginnings(notes: Series, times: PictureTimes) -> Iterator[float]:
    """Yield when each series of the notes began, gaps included."""
    for series in notes:
        for run in _runs(dict(series.points), times.step):
            yield run[0][0]


def _note(at: float, plot: _Plot) -> str:
    x = plot.x(at)
    return (
        f'<line x1="{x}" x2="{x}" y1="34" y2="{plot.bottom}" stroke="{_OF_VALUES["red"]}" '
        'stroke-dasharray="2 3"/>'
    )


def _legend(series: Series, frame: PanelPlace) -> tuple[str, int]:
    """Return the names with their colours in lines below the plot, and the number of lines."""
    parts, x, line = [], 10.0, 0
    for number, each in enumerate(series):
        wide = 26 + len(each.name) * _LETTER
        if x > 10 and x + wide > frame.w:  # noqa: PLR2004 - not the first of its line
            x, line = 10.0, line + 1
        parts.append((number, each.name, x, line))
        x += wide
    lines = line + 1
    drawn = "".join(
        f'<rect x="{x:.0f}" y="{frame.h - 12 - (lines - 1 - at) * _LEGEND}" width="10" height="3" '
        f'fill="{_COLOURS[number % len(_COLOURS)]}"/>'
        f'<text x="{x + 14:.0f}" y="{frame.h - 7 - (lines - 1 - at) * _LEGEND}" font-size="11">'
        f"{escape(name)}</text>"
        for number, name, x, at in parts
    )
    return drawn, lines


def as_series(answer: Sequence[Mapping[str, object]], legend: str) -> list[PromSeries]:
    """Return the series of an answer of Prometheus' API, over time or at one time."""
    found = []
    for each in answer:
        labels: Mapping[str, str] = each["metric"]  # type: ignore[assignment]
        points: Sequence[tuple[float, str]] = each.get("values") or [each["value"]]  # type: ignore[assignment]
        found.append(
            PromSeries(
                name=series_name(legend, labels),
                labels=labels,
                points=[(float(time), float(value)) for time, value in points],
            )
        )
    return sorted(found, key=lambda series: series.name)
