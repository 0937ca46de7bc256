"""The walk through deploy/kubernetes/README.md names what is there, and makes what is needed."""

import re
import subprocess
from pathlib import Path

from runtime.settings import OWNER_VARIABLE, Settings
from tests.deploy.cluster import (
    pods,
)
from tests.deploy.kustomize import (
    KUBERNETES,
    ROOT,
    Manifest,
)


def readme_commands() -> list[str]:
    """Return the commands of the README, those of several lines as one."""
    text = (KUBERNETES / "README.md").read_text().replace("\\\n", " ")
    return [line.strip() for line in re.findall(r"^    (\S.*)$", text, flags=re.MULTILINE)]


def test_the_readme_makes_every_secret_that_a_container_reads(
    manifests: list[Manifest], tmp_path: Path
) -> None:
    readme = (KUBERNETES / "README.md").read_text()
    (script,) = re.findall(r"^```sh\n(.*?)^```$", readme, flags=re.MULTILINE | re.DOTALL)

    subprocess.run(["sh", "-eu", "-c", script], cwd=tmp_path, check=True)

    folders = {
        match[1]: tmp_path / match[2]
        for line in readme_commands()
        if (match := re.match(r"kubectl create secret generic (\S+) .*--from-file=(\S+)", line))
    }
    keys: dict[str, set[str]] = {name: set() for name in folders}
    for pod in pods(manifests):
        for volume in (v["secret"] for v in pod["spec"]["volumes"] if "secret" in v):
            keys[volume["secretName"]] |= {item["key"] for item in volume["items"]}
    assert keys == {name: {path.name for path in at.iterdir()} for name, at in folders.items()}
    made = {path.name: path.read_text().strip() for path in folders["paidup"].iterdir()}
    trial = {path.name: path.read_text().strip() for path in folders["trial-servers"].iterdir()}
    assert Settings.from_env(made).doubts == ()
    assert f":{trial['POSTGRES_PASSWORD']}@postgres:5432/" in made[OWNER_VARIABLE]
    assert f":{trial['REDIS_PASSWORD']}@redis:6379/" in made["REDIS_URL"]


def test_whatever_the_readme_names_exists(manifests: list[Manifest]) -> None:
    named = {(each["kind"].lower(), each["metadata"]["name"]) for each in manifests}
    for line in readme_commands():
        for folder in re.findall(r"apply -k (\S+)", line):
            assert (ROOT / folder / "kustomization.yaml").exists(), line
        for file in re.findall(r"(?:apply -f |--set-file \S+?=|--from-file=\S+?=)(\w\S+)", line):
            assert (ROOT / file).exists(), line
        for file in re.findall(r"sed -i '.*' (\S+)", line):
            assert (ROOT / file).exists(), line
        for kind, name in re.findall(r"\b(statefulset|deployment|job|pod|service)/(\w+)", line):
            assert (kind, name) in named, line
        for namespace in re.findall(r"(?:--namespace|-n) (\S+)", line):
            assert namespace in {"paidup", "keda", "monitoring"}, line


def test_no_command_deletes_what_other_parts_use() -> None:
    """Refuse `delete -k`: the settings are in every folder, so they would go for all parts."""
    assert [line for line in readme_commands() if "delete -k" in line] == []


def test_the_edits_of_the_readme_change_what_they_are_about() -> None:
    """Find the line that each is about: an edit without one would silently change nothing."""
    edits = [
        match.groups()
        for line in readme_commands()
        if (match := re.match(r"sed -i 's/(.+?)/(.+?)/' (\S+)", line))
    ]

    assert len(edits) == 2
    for pattern, _, file in edits:
        text = (ROOT / file).read_text()
        assert len(re.findall(pattern, text, flags=re.MULTILINE)) == 1, (pattern, file)


def test_the_labels_that_let_others_in_are_those_of_the_readme(
    manifests: list[Manifest],
) -> None:
    asked = {
        f"{key}={value}"
        for each in manifests
        if each["kind"] == "NetworkPolicy"
        for rule in each["spec"].get("ingress", [])
        for source in rule["from"]
        for key, value in source.get("namespaceSelector", {}).get("matchLabels", {}).items()
    }

    named = re.findall(r"paidup-\w+=allowed", (KUBERNETES / "README.md").read_text())

    assert asked == set(named)
