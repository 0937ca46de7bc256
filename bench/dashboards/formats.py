"""Format values and names of series as Grafana does, closely enough for a picture. Pure."""

import re
from collections.abc import Mapping, Sequence
from math import floor, inf, isfinite, log10
from typing import Final

from bench.dashboards.reading import DashboardPanel

_SECONDS: Final = (
    (86400.0, "d"),
    (3600.0, "h"),
    (60.0, "min"),
    (1.0, "s"),
    (0.001, "ms"),
    (0.000001, "µs"),
)
_BYTES: Final = ((1024.0**3, "GiB"), (1024.0**2, "MiB"), (1024.0, "KiB"), (1.0, "B"))
_UNITS: Final[Mapping[str, Sequence[tuple[float, str]]]] = {"s": _SECONDS, "bytes": _BYTES}
_COUNTS: Final = ((1e6, "M"), (1e3, "k"), (1.0, ""))
_NICE: Final = (1, 2, 5, 10)
_CLOCK: Final = (10.0, 15.0, 30.0, *(60.0 * n for n in (1, 2, 5, 10, 15, 30, 60, 120, 360, 1440)))
"""Steps between the lines for seconds, up to a day."""
_SUFFIX: Final = "suffix:"


def format_value(value: float, panel: DashboardPanel) -> str:
    """Return a value in the unit of the panel, or the text that the panel has for it."""
    if (text := _mapped(value, panel)) is not None:
        return text
    if not isfinite(value):
        return "∞" if value > 0 else "-"
    return _in_unit(value if panel.decimals is None else round(value, panel.decimals), panel.unit)


def format_at_axis(value: float, panel: DashboardPanel) -> str:
    """Return a value beside a line across the plot."""
    return _in_unit(value, panel.unit)


def nice_step(least: float, unit: str) -> float:
    """Return a step of this size or somewhat more, whose multiples are short to write."""
    if unit == "s" and _CLOCK[0] < least <= _CLOCK[-1]:
        return next(step for step in _CLOCK if step >= least)
    sizes = (size for size, _ in _UNITS.get(unit, ()) if size <= least)
    size = max(sizes, default=1.0)
    power = 10.0 ** floor(log10(least / size)) * size
    return next(nice * power for nice in _NICE if nice * power >= least * (1 - 1e-9))


def _in_unit(value: float, unit: str) -> str:
    match unit:
        case "percent":
            return f"{_number(value)} %"
        case _ if unit.startswith(_SUFFIX):
            return f"{_number(value)}{unit.removeprefix(_SUFFIX)}"
        case _:
            return _scaled(value, _UNITS.get(unit, _COUNTS))


def _mapped(value: float, panel: DashboardPanel) -> str | None:
    for mapping in panel.texts:
        options = mapping["options"]
        if mapping["type"] == "value":
            if (found := options.get(f"{value:g}")) is not None:
                return str(found["text"])
        elif _bound(options["from"], -inf) <= value <= _bound(options["to"], inf):
            return str(options["result"]["text"])
    return None


def _bound(stated: float | None, otherwise: float) -> float:
    return otherwise if stated is None else stated


def _scaled(value: float, units: Sequence[tuple[float, str]]) -> str:
    if value == 0:
        return "0"
    size, name = next((each for each in units if abs(value) >= each[0]), units[-1])
    return f"{_number(value / size)} {name}".rstrip()


def _number(value: float) -> str:
    """Return three digits that count, and no zero that says nothing."""
    return f"{float(f'{value:.3g}'):g}"


def series_name(legend: str, labels: Mapping[str, str]) -> str:
    """Return the legend with the values of the labels that it names."""
    return re.sub(r"{{(\w+)}}", lambda named: labels.get(named[1], ""), legend)
