"""Each dashboard is one that Grafana can show, and asks for series and sections that exist."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import fields
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from bench.dashboards.reading import FOLDER, GrafanaDashboard, read_dashboards
from runtime.telemetry import (
    DiskCollector,
    SharedState,
    SharedStateCollector,
    build_metrics,
)

ROOT = Path(__file__).parents[2]
SOURCE = {"type": "prometheus", "uid": "prometheus"}
DASHBOARDS = read_dashboards()
LEFT_OUT = {"billing_approvals_bypassed_total"}
"""A gauge that is named as a counter; the library's name of it has no ending."""

of_each = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.name)


def document_of(dashboard: GrafanaDashboard) -> Any:
    return json.loads((FOLDER / f"{dashboard.name}.json").read_text())


def served() -> set[str]:
    """Return the names of all families that a process of Paidup may serve."""
    known: dict[str, Any] = {field.name: 0 for field in fields(SharedState)}
    labelled = {"unsold": {"no_user": 1}, "api_requests": {}, "api_reads": {"live": 1}}
    labelled |= {"reconcile_differences": {"missing": 1}, "reconcile_runs_at": {"events": 1}}
    state = SharedState(**known | labelled | {"fault_of_surroundings": ""})
    families = [
        *build_metrics(
            secrets=["a"], event_types=["invoice.paid"], tokens=["b"]
        ).registry.collect(),
        *SharedStateCollector(lambda: state).collect(),
        *DiskCollector(ROOT).collect(),
    ]
    return {family.name for family in families}


def family_of(series: str) -> str:
    return series if series in LEFT_OUT else re.sub(r"_(total|bucket|sum|count)$", "", series)


def asked() -> set[str]:
    found = (
        re.findall(
            r"\b(?:billing|idempotent)_\w+", re.sub(r'"[^"]*"|by \(\w+\)', "", query.expression)
        )
        for dashboard in DASHBOARDS
        for query in dashboard.queries()
    )
    return {family_of(series) for names in found for series in names}


def test_no_query_asks_for_a_series_that_no_process_serves() -> None:
    assert asked() - served() == set()


def test_each_series_of_paidup_is_shown_on_a_dashboard() -> None:
    assert served() - asked() == set()


@of_each
def test_it_is_found_by_its_name_and_beside_the_others(dashboard: GrafanaDashboard) -> None:
    document = document_of(dashboard)

    assert document["uid"] == f"paidup-{dashboard.name}"
    assert document["tags"] == ["paidup"]
    (others,) = [link for link in document["links"] if link["type"] == "dashboards"]
    assert others["tags"] == document["tags"]
    assert document["templating"] == {"list": []}


@of_each
def test_panels_have_numbers_of_their_own_and_do_not_overlap(dashboard: GrafanaDashboard) -> None:
    numbers = [panel.number for panel in dashboard.panels]
    pairs = combinations(dashboard.panels, 2)

    assert len(set(numbers)) == len(numbers)
    assert all(p.place.x >= 0 and p.place.x + p.place.w <= 24 for p in dashboard.panels)
    assert [(a.title, b.title) for a, b in pairs if a.place.overlaps(b.place)] == []


@of_each
def test_each_panel_says_what_it_shows_and_asks_the_provisioned_prometheus(
    dashboard: GrafanaDashboard,
) -> None:
    for panel in document_of(dashboard)["panels"]:
        if panel["type"] == "row":
            continue
        targets = panel["targets"]
        assert re.fullmatch(r"[^a-z].*[.?]", panel["description"], re.DOTALL), panel["title"]
        assert [panel["datasource"], *(t["datasource"] for t in targets)] == [SOURCE] * (
            len(targets) + 1
        )
        assert [t["refId"] for t in targets] == [chr(ord("A") + n) for n in range(len(targets))]
        if panel["type"] == "timeseries" or len(targets) > 1:
            assert all(t.get("legendFormat") for t in targets), panel["title"]


@of_each
def test_each_section_that_a_panel_names_is_one_of_operations(dashboard: GrafanaDashboard) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    headings = re.findall(r"^##+ (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
    named = {
        anchor
        for panel in dashboard.panels
        for anchor in re.findall(r"docs/operations\.md#([\w-]+)", panel.description)
    }

    assert named
    assert named - anchors == set()


@of_each
def test_the_page_shows_a_picture_of_it_as_it_is(dashboard: GrafanaDashboard) -> None:
    name = f"pictures/dashboard-{dashboard.name}.svg"
    picture = ET.fromstring((ROOT / "docs" / name).read_text())  # noqa: S314 - our own

    drawn = [text for text in picture.itertext() if text.strip()]
    titles = [panel.title for panel in dashboard.panels]
    assert drawn[0] == dashboard.title
    assert [title for title in titles if title not in drawn] == []
    assert f"]({name})" in (ROOT / "docs" / "deploy.md").read_text()


@of_each
def test_several_processes_report_a_shared_number_so_no_query_adds_them_up(
    dashboard: GrafanaDashboard,
) -> None:
    counted = {family.name for family in build_metrics().registry.collect()}
    for query in dashboard.queries():
        for series in re.findall(r"\bbilling_\w+", query.expression):
            if family_of(series) not in counted:
                within = rf"\b(min|max)( by \([\w, ]+\) )?\({series}"
                assert re.search(within, query.expression), query.expression
