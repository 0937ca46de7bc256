"""The manifests give each part the rights, secrets and ways that it needs, and no more."""

import pytest

from ops.up.services import SECRETS
from runtime.settings import OWNER_VARIABLE
from tests.deploy.cluster import OURS, SERVICES, container_of, pod_named, pods, selects
from tests.deploy.kustomize import ROOT, Built, Manifest

SECRET_FILES = "/run/secrets/paidup"


@pytest.mark.parametrize("name", OURS)
def test_each_part_gets_the_secrets_that_it_needs_as_files_and_no_other(
    manifests: list[Manifest], name: str
) -> None:
    of_services = {secret for kind in SERVICES.values() for secret in kind.secrets}
    optional = {"CELERY_BROKER_URL"}  # it is the same Redis
    of_sessions = {"PAIDUP_CONSOLE_SECRET", "PAIDUP_OIDC_CLIENT_SECRET"}
    needed = {
        **{each: kind.secrets for each, kind in SERVICES.items()},
        "migrate": {"DATABASE_URL", OWNER_VARIABLE},
        "ops": of_services - of_sessions,
    }[name] - optional
    (volume,) = (v for v in pod_named(manifests, name)["spec"]["volumes"] if v["name"] == "secrets")
    container = container_of(manifests, name)
    given = {each["name"]: each["value"] for each in container["env"]}

    assert volume["secret"]["secretName"] == "paidup"
    assert {(item["key"], item["path"]) for item in volume["secret"]["items"]} == {
        (secret, secret) for secret in needed
    }
    assert not SECRETS & given.keys()
    assert {n: v for n, v in given.items() if n.endswith("_FILE")} == {
        f"{secret}_FILE": f"{SECRET_FILES}/{secret}" for secret in needed
    }
    assert {"name": "secrets", "mountPath": SECRET_FILES, "readOnly": True} in container[
        "volumeMounts"
    ]


def test_no_container_may_do_more_than_ours_need(manifests: list[Manifest]) -> None:
    users = set()
    for pod in pods(manifests):
        spec = pod["spec"]
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        # Otherwise each Service of the namespace would add variables, such as REDIS_PORT.
        assert spec["enableServiceLinks"] is False
        assert {"cpu", "memory"} == container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
        context = spec["securityContext"]
        users.add((context["runAsUser"], context["runAsGroup"], context["fsGroup"]))

    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "USER 10001:10001" in dockerfile
    assert users == {(10001, 10001, 10001), (999, 999, 999)}


def test_the_namespace_refuses_pods_that_could_do_more(all_built: dict[str, Built]) -> None:
    (namespace,) = all_built["."].of_kind("Namespace")

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = (each for built in all_built.values() for each in built.manifests)
    assert {
        each["metadata"].get("namespace") for each in others if each["kind"] != "Namespace"
    } == {namespace["metadata"]["name"]}


def policies(manifests: list[Manifest], name: str, direction: str) -> list[Manifest]:
    """Return the rules of one direction that select the Pods of one part."""
    labels = pod_named(manifests, name)["metadata"]["labels"]
    return [
        rule
        for each in manifests
        if each["kind"] == "NetworkPolicy" and selects(each["spec"]["podSelector"], labels)
        for rule in each["spec"].get(direction, [])
    ]


def ports(rules: list[Manifest]) -> set[int]:
    return {port["port"] for rule in rules for port in rule["ports"]}


REDIS, POSTGRESQL, NAME_SERVER = {6379, 26379}, {5432, 6432}, {53}


def test_each_part_reaches_the_servers_that_it_needs_and_no_other(
    all_built: dict[str, Built],
) -> None:
    applied = [each for built in all_built.values() for each in built.manifests]

    reached = {name: ports(policies(applied, name, "egress")) for name in OURS}

    assert reached == {
        "ingest": NAME_SERVER | REDIS,
        "worker": NAME_SERVER | REDIS | POSTGRESQL,
        "console": NAME_SERVER | REDIS | POSTGRESQL,
        "migrate": NAME_SERVER | POSTGRESQL,
        "ops": NAME_SERVER | REDIS | POSTGRESQL | {8000},
    }


def test_what_is_asked_over_https_is_optional(manifests: list[Manifest]) -> None:
    with_https = {name for name in OURS if 443 in ports(policies(manifests, name, "egress"))}

    assert with_https == {"worker", "console", "ops"}


def test_each_part_is_reached_at_its_ports_by_those_who_may(all_built: dict[str, Built]) -> None:
    applied = [each for built in all_built.values() for each in built.manifests]
    served = {
        name: {port["containerPort"] for port in container_of(applied, name).get("ports", [])}
        for name in OURS
    }
    for name in OURS:
        rules = policies(applied, name, "ingress")
        assert served[name] <= ports(rules), name
        assert all(rule["from"] for rule in rules)
    assert policies(applied, "migrate", "ingress") == policies(applied, "ops", "ingress") == []
    (deny,) = (e for e in applied if e["metadata"]["name"] == "deny-all")
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
