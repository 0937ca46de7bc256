"""The files of deploy/kubernetes fit each other: every name in them leads to something."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from ops.up.services import SECRETS
from runtime.settings import VARIABLES
from tests.deploy.cluster import (
    FOLDERS,
    OURS,
    SERVICES,
    component_of,
    container_of,
    pod_named,
    pods,
    selects,
    workload,
)
from tests.deploy.kustomize import (
    KUBERNETES,
    Built,
    Manifest,
    build,
    settings_of,
)


def test_every_file_belongs_to_a_kustomization() -> None:
    folders = [path.parent for path in KUBERNETES.rglob("kustomization.yaml")]
    used = {file for folder in folders for file in build(folder).files}
    beside = {KUBERNETES / "README.md", KUBERNETES / "prometheus-scrape.yaml"}

    present = {path for path in KUBERNETES.rglob("*") if path.is_file()}

    assert present - used == beside


def test_the_optional_components_are_offered_where_they_are_added(tmp_path: Path) -> None:
    copy = shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    text = (copy / "kustomization.yaml").read_text()
    offered = re.findall(r"# - (optional/\S+)", text)
    (copy / "kustomization.yaml").write_text(text.replace("# - optional/", "- optional/"))

    with_all = build(copy).manifests

    assert set(offered) == {f"optional/{path.name}" for path in (KUBERNETES / "optional").iterdir()}
    assert len(with_all) == len(build(KUBERNETES).manifests) + len(offered)
    assert {each["metadata"].get("namespace", each["kind"]) for each in with_all} == {
        "paidup",
        "Namespace",
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_kubectl_builds_the_same_manifests(all_built: dict[str, Built], folder: str) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("needs kubectl, which Debian 12 has in a version without components")

    command = [kubectl, "kustomize", str(KUBERNETES / folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    text = re.sub(r"\b(settings|redis-files)-[a-z0-9]{10}\b", r"\1", done.stdout)
    assert sorted(map(yaml.safe_dump, yaml.safe_load_all(text))) == sorted(
        map(yaml.safe_dump, all_built[folder].manifests)
    )


def test_every_selector_finds_a_pod(manifests: list[Manifest]) -> None:
    labels = [pod["metadata"]["labels"] for pod in pods(manifests)]
    lost = []
    for each in manifests:
        spec = each.get("spec", {})
        match each["kind"]:
            case "Service":
                selector = {"matchLabels": spec["selector"]}
            case "NetworkPolicy":
                selector = spec["podSelector"]
            case "PodDisruptionBudget" | "Deployment" | "StatefulSet":
                selector = spec["selector"]
            case _:
                continue
        if not any(selects(selector, given) for given in labels):
            lost.append((each["kind"], each["metadata"]["name"]))

    assert lost == []


@pytest.mark.parametrize("name", SERVICES)
def test_a_budget_and_the_spread_are_about_the_pods_of_their_service(
    manifests: list[Manifest], name: str
) -> None:
    deployment = workload(manifests, name)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    (budget,) = (
        each
        for each in manifests
        if each["kind"] == "PodDisruptionBudget" and each["metadata"]["name"] == name
    )
    spread = pod_named(manifests, name)["spec"]["topologySpreadConstraints"]

    assert budget["spec"]["selector"]["matchLabels"] == labels
    assert budget["spec"]["maxUnavailable"] == 1
    assert {each["topologyKey"] for each in spread} == {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    }
    assert all(each["labelSelector"]["matchLabels"] == labels for each in spread)


def test_services_and_the_ingress_lead_to_ports_that_are_served(manifests: list[Manifest]) -> None:
    lost = []
    for service in (each for each in manifests if each["kind"] == "Service"):
        (pod,) = (
            pod
            for pod in pods(manifests)
            if selects({"matchLabels": service["spec"]["selector"]}, pod["metadata"]["labels"])
        )
        served = {p["name"] for c in pod["spec"]["containers"] for p in c.get("ports", [])}
        lost += [p for p in service["spec"]["ports"] if p["targetPort"] not in served]
    (ingress,) = (each for each in manifests if each["kind"] == "Ingress")
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
    settings = settings_of(KUBERNETES / "settings" / "settings.env")

    assert lost == []
    assert path["path"] == settings["PAIDUP_WEBHOOK_PATH"]
    assert path["pathType"] == "Exact"
    assert path["backend"]["service"] == {"name": "ingest", "port": {"name": "http"}}


def test_every_volume_is_mounted_and_every_config_map_and_secret_is_made(
    manifests: list[Manifest],
) -> None:
    made = {each["metadata"]["name"] for each in manifests if each["kind"] == "ConfigMap"}
    readme = (KUBERNETES / "README.md").read_text()
    by_hand = set(re.findall(r"kubectl create (?:secret generic|configmap) (\S+)", readme))
    for pod in pods(manifests):
        (container,) = pod["spec"]["containers"]
        mounted = {each["name"] for each in container["volumeMounts"]}
        claimed = {"data"} if component_of(pod) in {"postgres", "redis"} else set()
        assert mounted == {each["name"] for each in pod["spec"]["volumes"]} | claimed
        for volume in pod["spec"]["volumes"]:
            if "configMap" in volume:
                assert volume["configMap"]["name"] in made | by_hand
            if "secret" in volume:
                assert volume["secret"]["secretName"] in by_hand
        for source in container.get("envFrom", []):
            assert source["configMapRef"]["name"] in made


def test_every_variable_is_one_that_the_code_reads(manifests: list[Manifest]) -> None:
    known = {variable.name for variable in VARIABLES}
    given = {
        each["name"].removesuffix("_FILE")
        for name in OURS
        for each in container_of(manifests, name)["env"]
    }

    assert given <= known
    assert settings_of(KUBERNETES / "settings" / "settings.env").keys() <= known - SECRETS
