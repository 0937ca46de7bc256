"""The deployment files agree with the code in names, ports and limits, and hold no secret."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.up.services import SECRETS, ConsoleService, IngestService, WorkerService
from runtime.roles import APPLICATION_ROLE
from runtime.settings import OWNER_VARIABLE, VARIABLES

ROOT = Path(__file__).parents[2]
OURS = ("migrate", "ops", "ingest", "worker", "console")
SERVICES = {"ingest": IngestService, "worker": WorkerService, "console": ConsoleService}
STOP_LIMIT_SECONDS = 60 + 35
"""The hard limit of one drain task, plus the time that Celery's pool may take to end after it."""


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def pinned(image: str) -> bool:
    """Return True if an image names one release (all its numbers) and the digest of one build."""
    numbers = 2 if image.startswith("postgres:") else 3
    release = rf"[a-z/]+:v?\d+(\.\d+){{{numbers - 1}}}(-[a-z-]+)?"
    return re.fullmatch(rf"{release}@sha256:[0-9a-f]{{64}}", image) is not None


def environment_of(compose: Any, service: str) -> dict[str, str]:
    return dict(compose["services"][service].get("environment", {}))


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_gets_the_secrets_that_it_needs_and_no_other(
    compose: Any, service: str
) -> None:
    given = SECRETS & environment_of(compose, service).keys()

    optional = {"CELERY_BROKER_URL"}  # it is the same Redis
    assert given == SERVICES[service].secrets - optional


def test_only_the_migration_connects_as_the_owner(compose: Any) -> None:
    owners = {
        name
        for name in compose["services"]
        for variable, value in environment_of(compose, name).items()
        if variable == OWNER_VARIABLE or "POSTGRES_PASSWORD" in str(value)
    }
    roles = {
        environment_of(compose, name)["DATABASE_URL"].partition("://")[2].partition(":")[0]
        for name in OURS
        if "DATABASE_URL" in environment_of(compose, name)
    }

    assert owners == {"migrate", "postgres"}
    assert roles == {APPLICATION_ROLE}


@pytest.mark.parametrize("service", ["worker", "console", "ops"])
def test_what_records_or_looks_up_by_account_knows_which_accounts_count(
    compose: Any, service: str
) -> None:
    given = environment_of(compose, service)

    assert given["PAIDUP_CONNECT_ACCOUNTS"] == "${PAIDUP_CONNECT_ACCOUNTS:-}"
    assert given["PAIDUP_LIVEMODE"] == "${PAIDUP_LIVEMODE:-live}"


def test_commands_get_what_every_service_gets_but_not_what_makes_sessions(compose: Any) -> None:
    secrets = {name for kind in SERVICES.values() for name in kind.secrets} - {"CELERY_BROKER_URL"}
    of_sessions = {"PAIDUP_CONSOLE_SECRET", "PAIDUP_OIDC_CLIENT_SECRET"}

    assert SECRETS & environment_of(compose, "ops").keys() == secrets - of_sessions
    assert compose["services"]["ops"]["profiles"] == ["ops"]


def test_every_variable_given_to_our_services_is_one_that_the_code_reads(compose: Any) -> None:
    known = {variable.name for variable in VARIABLES}

    given = {name for service in OURS for name in environment_of(compose, service)}

    assert given <= known


def test_every_variable_of_the_example_file_is_used(compose: Any) -> None:
    example = (ROOT / ".env.example").read_text()
    offered = set(re.findall(r"^([A-Z_]+)=", example, flags=re.MULTILINE))

    used = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))

    assert offered == used


def test_no_file_holds_a_secret() -> None:
    example = (ROOT / ".env.example").read_text()

    for name in (
        "STRIPE_WEBHOOK_SECRET",
        "STRIPE_API_KEY",
        "PAIDUP_CONSOLE_SECRET",
        "PAIDUP_CONSOLE_TOKENS",
        "PAIDUP_OIDC_CLIENT_SECRET",
        "POSTGRES_PASSWORD",
        "POSTGRES_APP_PASSWORD",
        "REDIS_PASSWORD",
        "PAIDUP_ALERT_PAGE_URL",
        "PAIDUP_ALERT_INFORM_URL",
        "GRAFANA_ADMIN_PASSWORD",
    ):
        assert f"\n{name}=\n" in example


def test_nothing_starts_before_the_migration(compose: Any) -> None:
    for service in ("ops", "ingest", "worker", "console"):
        needed = compose["services"][service]["depends_on"]

        assert needed["migrate"] == {"condition": "service_completed_successfully"}
    assert compose["services"]["migrate"]["restart"] == "no"


def test_workers_have_no_name_and_no_port_and_can_be_scaled(compose: Any) -> None:
    worker = compose["services"]["worker"]

    assert "container_name" not in worker
    assert "ports" not in worker


def test_a_worker_is_given_longer_than_its_longest_batch(compose: Any) -> None:
    grace = compose["services"]["worker"]["stop_grace_period"]

    assert int(grace.removesuffix("s")) > STOP_LIMIT_SECONDS


@pytest.mark.parametrize("service", OURS)
def test_our_containers_cannot_write_outside_tmp(compose: Any, service: str) -> None:
    container = compose["services"][service]

    assert container["read_only"] is True
    assert container["tmpfs"] == ["/tmp:mode=1777"]  # noqa: S108 - a path inside the container
    assert container["cap_drop"] == ["ALL"]
    assert container["init"] is True


def test_every_lasting_service_restarts_and_has_a_health_check(compose: Any) -> None:
    lasting = {n: s for n, s in compose["services"].items() if n not in {"migrate", "ops"}}

    assert all(service["restart"] == "always" for service in lasting.values())
    assert all("healthcheck" in service for service in lasting.values())


def test_only_loopback_is_published(compose: Any) -> None:
    ports = [p for service in compose["services"].values() for p in service.get("ports", [])]

    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_prometheus_scrapes_the_ports_that_are_served(compose: Any) -> None:
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in scraped["scrape_configs"]}

    ingest = environment_of(compose, "ingest")["PAIDUP_INGEST_BIND"].rpartition(":")[2]
    worker = environment_of(compose, "worker")["PAIDUP_WORKER_METRICS_BIND"].rpartition(":")[2]

    console = environment_of(compose, "console")["PAIDUP_CONSOLE_BIND"].rpartition(":")[2]

    assert jobs["paidup-console"]["static_configs"] == [{"targets": [f"console:{console}"]}]
    assert jobs["paidup-ingest"]["static_configs"] == [{"targets": [f"ingest:{ingest}"]}]
    assert jobs["paidup-worker"]["dns_sd_configs"][0]["port"] == int(worker)


def test_every_image_is_pinned_by_its_exact_version_and_digest(compose: Any) -> None:
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    bought = [s["image"] for s in compose["services"].values() if "build" not in s]

    floating = [image for image in bases + bought if not pinned(image)]

    assert len(set(bases)) == 1
    assert {image.partition(":")[0] for image in bought} == {
        "grafana/grafana",
        "postgres",
        "prom/alertmanager",
        "prom/prometheus",
        "redis",
    }
    assert floating == []


@pytest.mark.parametrize(
    "tag", ["postgres:17-bookworm", "redis:7.4-bookworm", "python:3.11-slim-bookworm", "redis"]
)
def test_a_tag_that_moves_with_each_release_is_no_pin(tag: str) -> None:
    assert not pinned(tag)
    assert not pinned(f"{tag}@sha256:{'0' * 64}")


def test_the_image_runs_as_an_ordinary_user_and_installs_only_the_base_lock() -> None:
    final = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]

    assert "USER 10001:10001" in final
    assert "requirements/base.txt" in final
    assert "dev.txt" not in final
    assert 'ENTRYPOINT ["paidup"]' in final


def test_every_file_that_is_mounted_or_copied_exists(compose: Any) -> None:
    mounts = [v for s in compose["services"].values() for v in s.get("volumes", [])]
    sources = [v.split(":")[0] for v in mounts if v.startswith("./")]
    copied = re.findall(r"^COPY (?!--from)(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert all((ROOT / source).exists() for source in sources + copied)


@pytest.mark.parametrize(
    ("language", "file"), [("nginx", "nginx/paidup.conf"), ("caddy", "caddy/Caddyfile")]
)
def test_the_page_shows_the_configuration_of_each_proxy_as_it_is(language: str, file: str) -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    shown = re.findall(rf"^```{language}\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)

    assert shown == [(ROOT / "deploy" / file).read_text()]
    assert f"(../deploy/{file})" in page
