"""The manifests of deploy/kubernetes, built once."""

import pytest

from tests.deploy.cluster import FOLDERS
from tests.deploy.kustomize import KUBERNETES, Built, Manifest, build


@pytest.fixture(scope="session")
def all_built() -> dict[str, Built]:
    """Return what each folder applies."""
    return {name: build(KUBERNETES / name) for name in FOLDERS}


@pytest.fixture(scope="session")
def manifests(all_built: dict[str, Built]) -> list[Manifest]:
    """Return everything that a cluster may get, with what is optional."""
    optional = [build(folder) for folder in sorted((KUBERNETES / "optional").iterdir())]
    return [each for built in (*all_built.values(), *optional) for each in built.manifests]
