"""Find manifests and their parts by the names of Paidup's own parts."""

from ops.up.services import ConsoleService, IngestService, WorkerService
from tests.deploy.kustomize import Manifest, containers, pod_of

SERVICES = {"ingest": IngestService, "worker": WorkerService, "console": ConsoleService}
OURS = (*SERVICES, "migrate", "ops")
FOLDERS = (".", "migrate", "ops", "trial-servers")
"""Those of deploy/kubernetes that are applied; what is below optional/ is added to the first."""


def pods(manifests: list[Manifest]) -> list[Manifest]:
    return [pod for each in manifests if (pod := pod_of(each)) is not None]


def component_of(pod: Manifest) -> str:
    return str(pod["metadata"]["labels"]["app.kubernetes.io/component"])


def workload(manifests: list[Manifest], name: str) -> Manifest:
    """Return the manifest whose Pods are those of one of our parts."""
    (found,) = (
        each
        for each in manifests
        if (pod := pod_of(each)) is not None and component_of(pod) == name
    )
    return found


def pod_named(manifests: list[Manifest], name: str) -> Manifest:
    """Return the Pod of one of our parts."""
    (pod,) = pods([workload(manifests, name)])
    return pod


def container_of(manifests: list[Manifest], name: str) -> Manifest:
    (container,) = containers(workload(manifests, name))
    return container


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    """Return True if a label selector matches."""
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] and each["operator"] == "In"
        for each in selector.get("matchExpressions", [])
    )
