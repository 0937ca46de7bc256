"""Prometheus, Alertmanager and Grafana are configured as compose runs them, and Debian's run."""

import configparser
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
import yaml

from bench.dashboards.reading import NAMES
from tests.deploy.monitoring import (
    DEPLOY,
    AlertReceiver,
    alertmanager_notifying,
    configured,
    environment_of,
    needs_monitoring,
)
from tests.workers.waiting import until

ROOT = DEPLOY.parent
MONITORING = ("prometheus", "alertmanager", "grafana")
FOLDER_OF_CONTAINER = "/etc/paidup/"


@pytest.fixture(scope="module")
def services() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


@pytest.mark.parametrize("name", MONITORING)
def test_monitoring_has_no_rights_no_secret_of_paidup_and_no_port_but_on_loopback(
    services: Any, name: str
) -> None:
    service = services[name]
    secrets = re.findall(r"POSTGRES|REDIS|STRIPE|CONSOLE|OIDC", str(service))

    assert secrets == []
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [port.startswith("127.0.0.1:") for port in service["ports"]] == [True]
    assert all(v.endswith(":ro") for v in service["volumes"] if v.startswith("./"))


def test_prometheus_finds_alertmanager_where_compose_runs_it(services: Any) -> None:
    scraped = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    (found,) = scraped["alerting"]["alertmanagers"]
    (port,) = services["alertmanager"]["ports"]

    assert found["static_configs"] == [{"targets": ["alertmanager:9093"]}]
    assert port.endswith(":9093")


def test_grafana_is_given_the_dashboards_and_prometheus_and_changes_neither(services: Any) -> None:
    provisioning = DEPLOY / "grafana/provisioning"
    (source,) = read(provisioning / "datasources/prometheus.yml")["datasources"]
    (provider,) = read(provisioning / "dashboards/paidup.yml")["providers"]
    (port,) = services["prometheus"]["ports"]
    scrape = read(DEPLOY / "prometheus/prometheus.yml")["global"]["scrape_interval"]

    assert services["grafana"]["volumes"] == [f"./deploy/grafana:{FOLDER_OF_CONTAINER[:-1]}:ro"]
    assert source["uid"] == "prometheus"
    assert source["url"] == f"http://prometheus:{port.rpartition(':')[2]}"
    assert source["jsonData"]["timeInterval"] == scrape
    assert (source["editable"], provider["allowUiUpdates"]) == (False, False)
    folder = provider["options"]["path"].replace(FOLDER_OF_CONTAINER, "grafana/")
    assert {path.stem for path in (DEPLOY / folder).iterdir()} == set(NAMES)


def test_grafana_lets_no_stranger_in_asks_no_host_and_begins_with_the_overview(
    services: Any,
) -> None:
    settings = configparser.ConfigParser(comment_prefixes=(";",))
    settings.read_string((DEPLOY / "grafana/grafana.ini").read_text())
    home = settings["dashboards"]["default_home_dashboard_path"]

    assert settings["auth.anonymous"]["enabled"] == "false"
    assert settings["users"]["allow_sign_up"] == "false"
    assert settings["plugins"]["preinstall_disabled"] == "true"
    assert set(settings["analytics"].values()) == {"false"}
    assert (DEPLOY / home.replace(FOLDER_OF_CONTAINER, "grafana/")).exists()
    assert settings["paths"]["provisioning"] == f"{FOLDER_OF_CONTAINER}provisioning"
    password = services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"]
    assert password == "${GRAFANA_ADMIN_PASSWORD:?set it in .env}"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def started(folder: Path, **receivers: str) -> tuple[str, str]:
    """Return the configuration that the start script writes, and what it says."""
    environ = environment_of(receivers, folder) | {"ALERTMANAGER": "true"}
    done = subprocess.run(
        ["sh", configured(folder)], env=environ, check=True, capture_output=True, text=True
    )
    return (folder / "alertmanager.yml").read_text(), done.stderr


def test_each_receiver_gets_its_url_from_the_environment(tmp_path: Path) -> None:
    url = "https://hooks.example.com/a?key='b'&c=%20|\\1&d=it's: {x} # y"

    text, said = started(tmp_path, page=url)

    page, inform = yaml.safe_load(text)["receivers"]
    assert page == {"name": "page", "webhook_configs": [{"url": url}]}
    assert inform == {"name": "inform"}
    assert said == ""
    assert (tmp_path / "alertmanager.yml").stat().st_mode & 0o077 == 0


def test_it_says_that_it_notifies_no_one_when_there_is_no_url(tmp_path: Path) -> None:
    text, said = started(tmp_path, page="", inform="")

    assert text == (DEPLOY / "alertmanager/alertmanager.yml").read_text()
    assert "set PAIDUP_ALERT_PAGE_URL" in said


@needs_monitoring
def test_debian_s_programs_find_no_fault_in_the_configuration(tmp_path: Path) -> None:
    text, _ = started(tmp_path, page="https://page.example.com", inform="https://i.example.com")
    assert text.count("webhook_configs") == 2

    for check in (
        ["promtool", "check", "config", str(DEPLOY / "prometheus/prometheus.yml")],
        ["amtool", "check-config", str(tmp_path / "alertmanager.yml")],
    ):
        done = subprocess.run(check, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@needs_monitoring
def test_the_integration_that_the_page_shows_is_one_that_alertmanager_takes(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    (shown,) = re.findall(r"^```yaml\n(receivers:.*?)^```$", page, re.MULTILINE | re.DOTALL)
    shipped = (DEPLOY / "alertmanager/alertmanager.yml").read_text()
    path = tmp_path / "alertmanager.yml"
    path.write_text(shipped.partition("receivers:\n")[0] + shown)

    done = subprocess.run(
        ["amtool", "check-config", str(path)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


@needs_monitoring
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["alertname=PaidupOldestEventTooOld", "severity=page"], "page"),
        (["alertname=PaidupDeadLetters", "severity=inform"], "inform"),
        (["alertname=PaidupOfAnotherRelease"], "page"),
    ],
    ids=["symptom", "cause", "no severity"],
)
def test_symptoms_page_causes_inform_and_what_has_no_severity_pages(
    labels: list[str], receiver: str
) -> None:
    file = f"--config.file={DEPLOY / 'alertmanager/alertmanager.yml'}"
    command = ["amtool", "config", "routes", "test", file, *labels]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == receiver


@pytest.fixture
def receiver() -> Iterator[AlertReceiver]:
    with AlertReceiver() as receiver:
        yield receiver


@pytest.mark.servers
@needs_monitoring
def test_alertmanager_notifies_each_receiver_by_severity(
    receiver: AlertReceiver, tmp_path: Path
) -> None:
    urls = {name: receiver.url(name) for name in ("page", "inform")}
    soon = {"group_wait: 10s": "group_wait: 0s", "group_wait: 1m": "group_wait: 0s"}
    with alertmanager_notifying(urls, tmp_path / "alertmanager", soon) as port:
        at = f"--alertmanager.url=http://127.0.0.1:{port}"

        def is_taken(*labels: str) -> bool:
            command = ["amtool", at, "alert", "add", *labels]
            environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
            return subprocess.run(command, check=False, stderr=PIPE, env=environ).returncode == 0

        until(
            lambda: is_taken("PaidupDown", "severity=page"), seconds=30, why="Alertmanager answers"
        )
        assert is_taken("PaidupDiskLow", "severity=inform")

        until(lambda: bool(receiver.alerts("page")), seconds=30, why="a page")
        until(lambda: bool(receiver.alerts("inform")), seconds=30, why="a note")
    assert receiver.alerts("page") == {"PaidupDown"}
    assert receiver.alerts("inform") == {"PaidupDiskLow"}
