"""Build the manifests of a folder as `kubectl kustomize` does, as far as deploy/kubernetes uses it.

The names of generated ConfigMaps get no hash here. A test compares the result with kubectl's, where
that is installed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"

Manifest = dict[str, Any]

FIELDS = {
    "apiVersion",
    "kind",
    "resources",
    "components",
    "namespace",
    "images",
    "configMapGenerator",
}
"""Of a kustomization; one with another field is built wrongly here."""

CLUSTER_WIDE = {"Namespace"}


@dataclass
class Built:
    """The manifests of a kustomization, and every file that was read for them."""

    manifests: list[Manifest] = field(default_factory=list)
    files: set[Path] = field(default_factory=set)

    def of_kind(self, kind: str) -> list[Manifest]:
        return [each for each in self.manifests if each["kind"] == kind]

    def one(self, kind: str, name: str) -> Manifest:
        (found,) = (each for each in self.of_kind(kind) if each["metadata"]["name"] == name)
        return found


def build(folder: Path) -> Built:
    """Return what `kubectl apply -k FOLDER` would apply."""
    built = Built()
    _add(built, folder)
    return built


def _add(built: Built, folder: Path) -> None:
    kustomization = _read(built, folder / "kustomization.yaml")
    assert kustomization.keys() <= FIELDS, f"{folder}: a field that is not built here"
    for name in kustomization.get("resources", []):
        path = folder / name
        if path.is_dir():
            _add(built, path)
        else:
            built.manifests.append(_read(built, path))
    for generator in kustomization.get("configMapGenerator", []):
        built.manifests.append(_config_map(built, folder, generator))
    for name in kustomization.get("components", []):
        _add(built, folder / name)
    _transform(built.manifests, kustomization)


def _read(built: Built, path: Path) -> Manifest:
    built.files.add(path.resolve())
    (document,) = yaml.safe_load_all(path.read_text())
    assert isinstance(document, dict)
    return document


def _config_map(built: Built, folder: Path, generator: Manifest) -> Manifest:
    data = {}
    for name in generator.get("files", []):
        # kubectl refuses a path that leads out of the folder.
        assert "/" not in name
        built.files.add((folder / name).resolve())
        data[name] = (folder / name).read_text()
    for name in generator.get("envs", []):
        built.files.add((folder / name).resolve())
        data.update(settings_of(folder / name))
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": generator["name"]},
        "data": data,
    }


def settings_of(path: Path) -> dict[str, str]:
    """Read a file of `NAME=value` lines."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def _transform(manifests: list[Manifest], kustomization: Manifest) -> None:
    images = {image["name"]: image for image in kustomization.get("images", [])}
    for manifest in manifests:
        if "namespace" in kustomization and manifest["kind"] not in CLUSTER_WIDE:
            manifest["metadata"]["namespace"] = kustomization["namespace"]
        for container in containers(manifest):
            if (image := images.get(container["image"])) is not None:
                container["image"] = f"{image['newName']}:{image['newTag']}"


def pod_of(manifest: Manifest) -> Manifest | None:
    """Return the Pod that a manifest describes: its metadata and its spec; None if it does not."""
    match manifest["kind"]:
        case "Pod":
            return manifest
        case "Deployment" | "StatefulSet" | "Job":
            return dict(manifest["spec"]["template"])
        case _:
            return None


def containers(manifest: Manifest) -> Iterator[Manifest]:
    pod = pod_of(manifest)
    yield from pod["spec"]["containers"] if pod else ()
