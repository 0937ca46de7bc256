"""The manifests agree with the code that they run: times, probes, scaling and metrics."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from ops.console import factory
from runtime.time_limits import SERVER_STOP_SECONDS
from tests.deploy.cluster import SERVICES, container_of, pod_named, workload
from tests.deploy.kustomize import KUBERNETES, ROOT, Built, Manifest, containers
from tests.deploy.test_files import STOP_LIMIT_SECONDS


def test_the_scaler_counts_the_processes_of_one_worker(manifests: list[Manifest]) -> None:
    (scaled,) = (each for each in manifests if each["kind"] == "ScaledObject")
    deployment = workload(manifests, "worker")
    env = {e["name"]: e.get("value") for e in container_of(manifests, "worker")["env"]}
    (trigger,) = scaled["spec"]["triggers"]

    assert trigger["metadata"]["threshold"] == env["PAIDUP_WORKER_PROCESSES"]
    assert trigger["metadata"]["query"] == "max(billing_workers_needed)"
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert trigger["metricType"] == "AverageValue"
    assert scaled["spec"]["scaleTargetRef"] == {"name": deployment["metadata"]["name"]}
    assert "replicas" not in deployment["spec"], "each apply would undo what the scaler did"


def test_the_number_of_workers_changes_once_a_minute_at_most(manifests: list[Manifest]) -> None:
    (scaled,) = (each for each in manifests if each["kind"] == "ScaledObject")
    behavior = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]

    assert scaled["spec"]["pollingInterval"] == 60
    assert scaled["spec"]["triggers"][0]["useCachedMetrics"] is True
    for direction in ("scaleUp", "scaleDown"):
        assert {p["periodSeconds"] for p in behavior[direction]["policies"]} == {60}


def test_without_a_sample_the_number_of_workers_stays_as_it_is(manifests: list[Manifest]) -> None:
    (scaled,) = (each for each in manifests if each["kind"] == "ScaledObject")

    assert scaled["spec"]["triggers"][0]["metadata"]["ignoreNullValues"] == "false"
    assert "fallback" not in scaled["spec"], "a fixed number would stop workers under load"


def test_all_connections_together_fit_into_what_postgresql_allows_by_default(
    manifests: list[Manifest],
) -> None:
    (scaled,) = (each for each in manifests if each["kind"] == "ScaledObject")
    workers = scaled["spec"]["maxReplicaCount"]
    processes = int(scaled["spec"]["triggers"][0]["metadata"]["threshold"])
    consoles = workload(manifests, "console")["spec"]["replicas"]
    pools = [n for name, n in vars(factory).items() if name.endswith("_CONNECTIONS")]
    of_a_console = sum(pools) + 2  # one listens for changes, and one probes

    most = workers * (processes + 3) + 5 + consoles * of_a_console

    readme = (KUBERNETES / "README.md").read_text()
    assert f"{workers} workers of {processes} processes and {consoles} consoles have {most}" in (
        readme
    )
    assert f"a console {of_a_console}." in readme
    # The default is 100, of which 3 are for superusers.
    assert most < 97


def test_each_part_is_given_the_time_that_it_needs_to_stop(manifests: list[Manifest]) -> None:
    assert (
        pod_named(manifests, "worker")["spec"]["terminationGracePeriodSeconds"] > STOP_LIMIT_SECONDS
    )
    for name in ("ingest", "console"):
        sleeping = container_of(manifests, name)["lifecycle"]["preStop"]["sleep"]["seconds"]
        grace = pod_named(manifests, name)["spec"]["terminationGracePeriodSeconds"]
        assert grace > sleeping + 2 * SERVER_STOP_SECONDS


@pytest.mark.parametrize("name", SERVICES)
def test_no_restart_is_asked_for_because_a_server_is_away(
    manifests: list[Manifest], name: str
) -> None:
    container = container_of(manifests, name)
    life = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness")}

    assert life == {"/livez" if name == "worker" else "/healthz"}
    if name != "worker":
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_the_trial_servers_are_those_of_compose(all_built: dict[str, Built]) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    trial = all_built["trial-servers"]
    files = trial.one("ConfigMap", "redis-files")["data"]

    for name in ("postgres", "redis"):
        (container,) = containers(trial.one("StatefulSet", name))
        assert container["image"] == compose[name]["image"]
    assert files == {
        name: (ROOT / "deploy" / "redis" / name).read_text() for name in ("redis.conf", "start.sh")
    }


def test_prometheus_scrapes_the_jobs_and_ports_that_compose_s_does(
    manifests: list[Manifest],
) -> None:
    ours = yaml.safe_load((KUBERNETES / "prometheus-scrape.yaml").read_text())
    other = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())

    names = {f"paidup-{name}" for name in SERVICES}
    assert {job["job_name"] for job in ours} == names
    assert names <= {job["job_name"] for job in other["scrape_configs"]}
    for job in ours:
        name = job["job_name"].removeprefix("paidup-")
        (found,) = job["kubernetes_sd_configs"]
        labels = pod_named(manifests, name)["metadata"]["labels"]
        wanted = dict(each.split("=") for each in found["selectors"][0]["label"].split(","))
        assert wanted == labels
        served = {port["name"] for port in container_of(manifests, name)["ports"]}
        assert {job["relabel_configs"][0]["regex"]} == served


def test_prometheus_reads_the_jobs(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs Debian's prometheus")
    jobs = yaml.safe_load((KUBERNETES / "prometheus-scrape.yaml").read_text())
    for job in jobs:
        # Debian's is built without the discovery of Pods.
        del job["kubernetes_sd_configs"]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": jobs}))

    done = subprocess.run(
        [promtool, "check", "config", tmp_path / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
