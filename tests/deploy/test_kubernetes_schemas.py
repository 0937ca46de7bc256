"""The manifests fit the schemas of Kubernetes and KEDA, and a misspelt field does not."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import kubernetes_validate
import pydantic
import pytest
from cloudcoil.models.keda.v1alpha1 import ScaledObject

from tests.deploy.kustomize import Manifest

VERSIONS = ("1.30", "1.37")
"""The oldest release whose every field we use is on by default, and the newest with schemas."""


def faults(manifest: Manifest, version: str) -> list[str]:
    """Return what the schema of its kind says against a manifest; an unknown field is a fault."""
    try:
        if manifest["kind"] == "ScaledObject":
            _check_scaled_object(manifest)
        else:
            kubernetes_validate.validate(manifest, version, strict=True)
    except (kubernetes_validate.ValidationError, pydantic.ValidationError, ValueError) as fault:
        return [str(fault)]
    return []


def _check_scaled_object(manifest: Manifest) -> None:
    read = ScaledObject.model_validate(manifest)
    known = read.model_dump(by_alias=True, exclude_unset=True, mode="json")
    # The model drops a field that it does not know.
    if known != manifest:
        message = f"a field is unknown: {manifest} became {known}"
        raise ValueError(message)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_fits_the_schema_of_its_kind(
    manifests: list[Manifest], version: str
) -> None:
    wrong = [
        (each["kind"], each["metadata"]["name"], found)
        for each in manifests
        if (found := faults(each, version))
    ]

    assert wrong == []


def paths_to(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to each mapping that has fields of the schema, and no names of ours."""
    if isinstance(value, dict):
        if path[-1:] not in {(name,) for name in FREE}:
            yield path
        for key, inner in value.items():
            yield from paths_to(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths_to(inner, (*path, index))


FREE = {"labels", "matchLabels", "requests", "limits", "metadata"}
"""Mappings whose keys are free, or free in one of the places that have this name."""


@pytest.mark.parametrize("kind", ["Deployment", "ScaledObject", "NetworkPolicy", "Job"])
def test_a_misspelt_field_is_a_fault_wherever_it_stands(
    manifests: list[Manifest], kind: str
) -> None:
    manifest = next(each for each in manifests if each["kind"] == kind)
    passed = []
    for path in paths_to(manifest):
        wrong = deepcopy(manifest)
        at: Any = wrong
        for step in path:
            at = at[step]
        at["mispelt"] = "x"
        if not faults(wrong, VERSIONS[-1]):
            passed.append(path)

    assert passed == []
