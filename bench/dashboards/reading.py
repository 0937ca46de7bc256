"""Read the dashboards of ``deploy/grafana``: the panels, and what they ask Prometheus."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"
NAMES: Final = ("overview", "ingest", "workers", "money")

_RATE_VARIABLE: Final = "$__rate_interval"


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelQuery:
    """One question to Prometheus; its legend may name labels in double braces."""

    expression: str
    legend: str

    def over(self, time: str) -> str:
        """Return the expression with this time in the place of Grafana's variable for rates."""
        return self.expression.replace(_RATE_VARIABLE, time)


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelPlace:
    """A rectangle in Grafana's grid of 24 columns."""

    x: int
    y: int
    w: int
    h: int

    def overlaps(self, other: "PanelPlace") -> bool:
        """Return True if both cover a cell."""
        beside = self.x + self.w <= other.x or other.x + other.w <= self.x
        return not beside and self.y < other.y + other.h and other.y < self.y + self.h


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardPanel:
    """One panel: a number, lines over time, a table, or the title of a row."""

    number: int
    kind: str
    title: str
    description: str
    place: PanelPlace
    unit: str
    decimals: int | None
    steps: Sequence[tuple[float | None, str]]
    """From which value on which colour; the first has no value."""
    texts: Sequence[Mapping[str, Any]]
    """Grafana's mappings of values to texts."""
    is_stacked: bool
    shows_steps: bool
    queries: Sequence[PanelQuery]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrafanaDashboard:
    """One file of the folder."""

    name: str
    title: str
    panels: Sequence[DashboardPanel]
    notes: Sequence[PanelQuery]
    """What it marks along the time of every panel."""

    def queries(self) -> Iterator[PanelQuery]:
        """Yield everything that it asks Prometheus."""
        yield from self.notes
        for panel in self.panels:
            yield from panel.queries


def read_dashboards(folder: Path = FOLDER) -> list[GrafanaDashboard]:
    """Return all dashboards, the overview first."""
    return [read_dashboard(folder / f"{name}.json") for name in NAMES]


def read_dashboard(path: Path) -> GrafanaDashboard:
    """Return the dashboard of a file."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return GrafanaDashboard(
        name=path.stem,
        title=document["title"],
        panels=[_panel(panel) for panel in document["panels"]],
        notes=[
            PanelQuery(expression=n["expr"], legend="") for n in document["annotations"]["list"]
        ],
    )


def _panel(panel: Mapping[str, Any]) -> DashboardPanel:
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    custom = defaults.get("custom", {})
    return DashboardPanel(
        number=panel["id"],
        kind=panel["type"],
        title=panel["title"],
        description=panel.get("description", ""),
        place=PanelPlace(**panel["gridPos"]),
        unit=defaults.get("unit", "short"),
        decimals=defaults.get("decimals"),
        steps=[(s["value"], s["color"]) for s in defaults.get("thresholds", {}).get("steps", ())],
        texts=defaults.get("mappings", ()),
        is_stacked="stacking" in custom,
        shows_steps="thresholdsStyle" in custom,
        queries=[
            PanelQuery(expression=target["expr"], legend=target.get("legendFormat", ""))
            for target in panel.get("targets", ())
        ],
    )
