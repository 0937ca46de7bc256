"""The reader takes what Grafana's files say of panels as it is meant."""

from bench.dashboards.reading import (
    NAMES,
    DashboardPanel,
    PanelPlace,
    PanelQuery,
    read_dashboards,
)


def panel(name: str, title: str) -> DashboardPanel:
    (dashboard,) = (each for each in read_dashboards() if each.name == name)
    return next(each for each in dashboard.panels if each.title == title)


def test_all_dashboards_are_read_the_overview_first() -> None:
    assert tuple(each.name for each in read_dashboards()) == NAMES
    assert NAMES[0] == "overview"


def test_the_variable_of_grafana_for_rates_is_replaced() -> None:
    query = PanelQuery(expression="rate(a[$__rate_interval]) + rate(b[1h])", legend="")

    assert query.over("2m") == "rate(a[2m]) + rate(b[1h])"


def test_queries_are_those_of_the_annotations_and_of_all_panels() -> None:
    for dashboard in read_dashboards():
        asked = list(dashboard.queries())

        assert asked[: len(dashboard.notes)] == list(dashboard.notes)
        assert len(asked) == len(dashboard.notes) + sum(len(p.queries) for p in dashboard.panels)


def test_a_panel_has_its_unit_its_limits_and_its_texts() -> None:
    age = panel("overview", "Age of the oldest due event")
    breakers = panel("overview", "Breakers")

    assert (age.unit, age.shows_steps) == ("s", True)
    assert list(age.steps) == [(None, "green"), (10, "yellow"), (60, "red")]
    assert breakers.texts[0]["options"]["1"] == {"text": "open"}
    assert panel("overview", "Deliveries").is_stacked
    assert not age.is_stacked


def test_places_overlap_if_they_share_a_cell() -> None:
    place = PanelPlace(x=4, y=4, w=4, h=4)

    assert place.overlaps(PanelPlace(x=7, y=7, w=4, h=4))
    assert not place.overlaps(PanelPlace(x=8, y=4, w=4, h=4))
    assert not place.overlaps(PanelPlace(x=4, y=8, w=4, h=4))
    assert not place.overlaps(PanelPlace(x=0, y=0, w=4, h=12))
    assert not place.overlaps(PanelPlace(x=0, y=0, w=24, h=4))
