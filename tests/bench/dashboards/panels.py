"""Panels for tests of what reads and draws them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.dashboards.reading import DashboardPanel, GrafanaDashboard, PanelPlace, PanelQuery

LINES = DashboardPanel(
    number=1,
    kind="timeseries",
    title="Events",
    description="Events.",
    place=PanelPlace(x=0, y=0, w=12, h=8),
    unit="short",
    decimals=None,
    steps=[(None, "green")],
    texts=(),
    is_stacked=False,
    shows_steps=False,
    queries=[PanelQuery(expression="up", legend="{{job}}")],
)
STAT = replace(LINES, kind="stat", queries=[PanelQuery(expression="up", legend="")])


def mapped(*texts: Mapping[str, Any], unit: str = "short") -> DashboardPanel:
    return replace(STAT, texts=texts, unit=unit)


def dashboard(*panels: DashboardPanel, notes: Sequence[PanelQuery] = ()) -> GrafanaDashboard:
    return GrafanaDashboard(name="test", title="A test", panels=panels, notes=notes)
