"""Run each container of deploy/kubernetes by its own command, as a process on this machine.

The addresses of servers and ports become loopback ones. All else is the manifest's: variables,
secrets as files, user, capabilities, a read-only file system, probes and the time to stop.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ops.demo.plans import PLANS
from ops.up.servers.ports import free_port
from ops.up.servers.postgres_server import Postgres
from tests.deploy.container import Container, boxes_work
from tests.deploy.kustomize import KUBERNETES, Manifest, build, pod_of, settings_of
from tests.deploy.services import answers, read, wait_until

pytestmark = pytest.mark.servers

PAIDUP = Path(sys.executable).parent / "paidup"
FOLDERS = {"ingest": ".", "worker": ".", "console": ".", "migrate": "migrate", "ops": "ops"}
TOKEN = "made-for-this-test-only"
NO_BOX = (
    "this machine allows no user namespaces, or hides Paidup in them (below /tmp or /run):"
    " commands and variables are tried without a box"
)


class ClusterStack:
    """The containers of the manifests, on loopback."""

    def __init__(self, folder: Path, owner_url: str, redis_url: str) -> None:
        self._folder = folder
        self._boxed = boxes_work(PAIDUP)
        self._running: list[subprocess.Popen[bytes]] = []
        self.ports = {port: free_port() for port in (8000, 8001, 9101)}
        self.secrets = {
            "DATABASE_URL": f"postgresql://paidup_app:appword@{owner_url.partition('@')[2]}",
            "PAIDUP_OWNER_DATABASE_URL": owner_url,
            "REDIS_URL": redis_url,
            "STRIPE_WEBHOOK_SECRET": "whsec_made_for_this_test_only_0",
            "STRIPE_API_KEY": "",
            "PAIDUP_CONSOLE_TOKENS": TOKEN,
            "PAIDUP_CONSOLE_SECRET": "",
            "PAIDUP_OIDC_CLIENT_SECRET": "",
        }

    def pod(self, name: str) -> Manifest:
        found = [
            pod for each in build(KUBERNETES / FOLDERS[name]).manifests if (pod := pod_of(each))
        ]
        (pod,) = (p for p in found if p["spec"]["containers"][0]["name"] == name)
        return pod

    def container(self, name: str) -> Container:
        pod = self.pod(name)
        files = {
            volume["name"]: self._files(name, volume)
            for volume in pod["spec"]["volumes"]
            if "emptyDir" not in volume
        }
        return Container(pod, files, boxed=self._boxed, paidup=PAIDUP)

    def _files(self, name: str, volume: Manifest) -> Path:
        """Write the files of a volume as the kubelet does."""
        folder = self._folder / f"{name}-{volume['name']}"
        folder.mkdir(exist_ok=True)
        if "configMap" in volume:
            assert volume["configMap"] == {"name": "plans"}
            (folder / "plans.toml").write_text(PLANS.read_text())
            return folder
        for item in volume["secret"]["items"]:
            path = folder / item["path"]
            # Its own user may not write to it again.
            path.unlink(missing_ok=True)
            # An editor or `echo` ends a file with a line break.
            path.write_text(f"{self.secrets[item['key']]}\n")
            path.chmod(volume["secret"]["defaultMode"])
        return folder

    def environment(self, name: str) -> dict[str, str]:
        settings = settings_of(KUBERNETES / "settings" / "settings.env")
        # A trial, with events of test mode; the README says how to set it.
        settings["PAIDUP_LIVEMODE"] = "test"
        given = self.container(name).environment(settings)
        if not self._boxed:
            given["PAIDUP_DATA_DIR"] = str(self._folder)
        return {n: self._on_loopback(value) for n, value in given.items()}

    def _on_loopback(self, text: str) -> str:
        return re.sub(r"0\.0\.0\.0:(\d+)", lambda m: f"127.0.0.1:{self.ports[int(m[1])]}", text)

    def start(self, name: str) -> subprocess.Popen[bytes]:
        command = self.container(name).command()
        process = subprocess.Popen(command, cwd=self._folder, env=self.environment(name))
        self._running.append(process)
        return process

    def execute(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in the Pod for commands, as by `kubectl exec`."""
        return subprocess.run(
            self.container("ops").running(command),
            cwd=self._folder,
            env=self.environment("ops"),
            capture_output=True,
            text=True,
            check=False,
        )

    def passes(self, name: str, kind: str) -> bool:
        """Ask a probe as the kubelet does."""
        container = self.container(name).manifest
        probe = container[f"{kind}Probe"]
        served = {port["name"]: port["containerPort"] for port in container["ports"]}
        port = self.ports[served[probe["httpGet"]["port"]]]
        url = f"http://127.0.0.1:{port}{probe['httpGet']['path']}"
        return answers(url, timeout=probe.get("timeoutSeconds", 1))

    def stop(self) -> None:
        for process in reversed(self._running):
            if process.poll() is None:
                process.terminate()
        for process in reversed(self._running):
            process.wait(100)


@pytest.fixture
def stack(tmp_path: Path, postgres_server: Postgres, redis_url: str) -> Iterator[ClusterStack]:
    """Yield a stack with an empty database, whose owner may create roles."""
    name = f"in_cluster_{os.getpid()}"
    postgres_server.create_database(name)
    owner_url = f"{postgres_server.admin_url.rpartition('/')[0]}/{name}"
    cluster = ClusterStack(tmp_path, owner_url, redis_url)
    yield cluster
    cluster.stop()
    postgres_server.drop_database(name)
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS paidup_app, paidup_reader")


def commands_of_the_readme() -> list[list[str]]:
    """Return what the README runs in the Pod for commands."""
    readme = (KUBERNETES / "README.md").read_text()
    return [
        line.split() for line in re.findall(r"kubectl exec ops --namespace paidup -- (.+)", readme)
    ]


def test_from_an_empty_database_to_a_paid_user_as_the_readme_says(stack: ClusterStack) -> None:
    assert stack.start("migrate").wait(120) == 0
    services = {name: stack.start(name) for name in ("ingest", "worker", "console")}
    for name in services:
        wait_until(lambda name=name: stack.passes(name, "startup"), f"the start of {name}")  # type: ignore[misc]
        assert stack.passes(name, "liveness")
    for name in ("ingest", "console"):
        wait_until(lambda name=name: stack.passes(name, "readiness"), f"readiness of {name}")  # type: ignore[misc]

    printed = [run_here(stack, command) for command in commands_of_the_readme()]

    assert len(printed) > 2
    assert "usr_trial" in "".join(printed)
    wait_until(lambda: read(stack.ports[8001], "usr_trial", TOKEN)["features"] != {}, "a paid user")
    for name, process in services.items():
        process.send_signal(signal.SIGTERM)
        assert process.wait(stack.pod(name)["spec"]["terminationGracePeriodSeconds"]) == 0


def run_here(stack: ClusterStack, command: list[str]) -> str:
    here = [part.replace("ingest:8000", f"127.0.0.1:{stack.ports[8000]}") for part in command]
    done = stack.execute(*here)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


RESTRICTIONS = """
import json, os, pathlib
status = dict(
    line.split(":\\t", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines()
)
def writable(folder):
    try:
        path = pathlib.Path(folder, "written")
        path.write_text("x")
        path.unlink()
        return True
    except OSError as error:
        return error.strerror
print(json.dumps({
    "user": [os.getuid(), os.getgid()],
    "capabilities": [status["CapEff"], status["CapPrm"]],
    "no new ones": status["NoNewPrivs"],
    "writable": {folder: writable(folder) for folder in FOLDERS},
    "secrets": sorted(os.listdir("/run/secrets/paidup")),
}))
"""


@pytest.mark.parametrize("name", FOLDERS)
def test_each_container_has_the_user_and_the_files_of_its_manifest_and_no_more(
    stack: ClusterStack, name: str
) -> None:
    if not boxes_work(PAIDUP):
        pytest.skip(NO_BOX)
    container = stack.container(name)
    folders = ["/", "/usr", "/run", "/run/secrets/paidup", str(KUBERNETES), "/tmp"]  # noqa: S108 - in the box
    program = f"FOLDERS = {folders}\n{RESTRICTIONS}"

    found = printed_by(container.running([sys.executable, "-c", program]))

    assert found["user"] == [10001, 10001]
    assert set(found["capabilities"]) == {"0" * 16}
    assert found["no new ones"] == "1"
    assert found["writable"] == {
        **dict.fromkeys(folders[:-1], "Read-only file system"),
        "/tmp": True,  # noqa: S108 - in the box
    }
    items = stack.pod(name)["spec"]["volumes"]
    (secret,) = (volume["secret"] for volume in items if "secret" in volume)
    assert found["secrets"] == sorted(item["path"] for item in secret["items"])


def printed_by(command: list[str]) -> Any:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
