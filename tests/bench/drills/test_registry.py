"""Every alert that is shipped has a drill, and every drill an alert and a row in the docs."""

import re
from pathlib import Path

import pytest
import yaml

from bench.drills.drill import Drill
from bench.drills.prometheus import ALERTS, JOBS
from bench.drills.registry import DRILLS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "drills" / "README.md").read_text()
ROWS = re.findall(r"^\| `([a-z-]+)` \| `(\w+)` \| (.*) \| (.*) \|$", PAGE, flags=re.MULTILINE)


def alerts() -> list[str]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]


def in_words(alert: str) -> str:
    words = re.sub(r"([A-Z])", r"-\1", alert.removeprefix("Paidup"))
    return words.removeprefix("-").lower()


def test_every_alert_has_a_drill_and_every_drill_an_alert() -> None:
    assert {drill.alert for drill in DRILLS.values()} == set(alerts())
    assert list(DRILLS) == [in_words(drill.alert) for drill in DRILLS.values()]


def test_drills_stand_in_the_order_of_the_alerts() -> None:
    assert [drill.alert for drill in DRILLS.values()] == list(dict.fromkeys(alerts()))


@pytest.mark.parametrize("drill", DRILLS.values(), ids=DRILLS)
def test_what_comes_along_is_another_alert(drill: Drill) -> None:
    assert drill.along <= set(alerts()) - {drill.alert}


def test_the_page_has_a_row_for_each_drill() -> None:
    def end_of(drill: Drill) -> str:
        return f"stays until {drill.stays}" if drill.stays else "goes with its cause"

    wanted = [(drill.name, drill.alert, drill.does, end_of(drill)) for drill in DRILLS.values()]
    assert wanted == ROWS


def test_prometheus_has_the_jobs_of_the_shipped_configuration() -> None:
    shipped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())

    jobs = {job["job_name"] for job in shipped["scrape_configs"]}
    assert {job for job in jobs if job.startswith("paidup-")} == set(JOBS)
