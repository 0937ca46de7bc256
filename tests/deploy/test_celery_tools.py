"""Celery's own tools and Flower see the workers with the shipped configuration."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ops.up.servers.ports import free_port
from runtime.broker import CONTROL_EXCHANGE, QUEUE
from runtime.redis_broker import KEY_PREFIX
from tests.workers.waiting import until
from tests.workers.worker_process import WorkerSite, running

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "deploy" / "flower" / "celeryconfig.py"


def test_the_configuration_has_the_prefix_of_the_workers_and_the_manual_shows_it() -> None:
    values: dict[str, Any] = {}
    exec(CONFIGURATION.read_text(), values)  # noqa: S102 - our own file
    manual = (ROOT / "docs" / "operations.md").read_text()

    assert values["broker_transport_options"] == {"global_keyprefix": KEY_PREFIX}
    assert values["control_exchange"] == CONTROL_EXCHANGE
    assert "cd deploy/flower" in manual
    assert "inspect ping" in manual
    assert "(../deploy/flower/celeryconfig.py)" in manual


@pytest.fixture
def site(database: str, redis_url: str, tmp_path: Path) -> Iterator[WorkerSite]:
    site = WorkerSite(database, redis_url, tmp_path / "worker.log")
    site.install_plans()
    with running(site) as worker:
        worker.until_ready()
        yield site
    site.close()


def environ(site: WorkerSite) -> Mapping[str, str]:
    return {"PATH": os.environ["PATH"], "CELERY_BROKER_URL": site.redis_url}


def celery(site: WorkerSite, *arguments: str, folder: Path) -> Any:
    """Return the answers by worker; none is an empty answer."""
    done = subprocess.run(
        [Path(sys.executable).parent / "celery", *arguments, "--json"],
        cwd=folder,
        env=environ(site),
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout) if done.returncode == 0 else {}


@pytest.mark.servers
def test_inspect_hears_the_pool_with_the_configuration_and_nothing_without(
    site: WorkerSite, tmp_path: Path
) -> None:
    def answers() -> Any:
        return celery(site, "inspect", "ping", folder=CONFIGURATION.parent)

    until(answers, why="an answer of a worker")
    (name,) = answers()
    assert name.startswith("paidup-worker-")

    assert celery(site, "inspect", "ping", folder=tmp_path) == {}


@contextmanager
def flower_of(site: WorkerSite, programs: Path) -> Iterator[str]:
    """Run Flower and yield its address. Its API has no password here, which is for tests only."""
    port = free_port()
    with (site.log.parent / "flower.log").open("wb") as log:
        process = subprocess.Popen(
            [programs / "celery", "flower", "--address=127.0.0.1", f"--port={port}"],
            cwd=CONFIGURATION.parent,
            env={**environ(site), "FLOWER_UNAUTHENTICATED_API": "true"},
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def asked(url: str) -> Any:
    with suppress(OSError), urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - loopback
        return json.load(answer)
    return {}


@pytest.mark.servers
def test_flower_sees_the_pool_and_its_queue(site: WorkerSite) -> None:
    if (programs := os.environ.get("TEST_FLOWER")) is None:
        pytest.skip(
            "TEST_FLOWER names no folder with Flower's programs:"
            " `python3 -m venv V && V/bin/pip install flower 'celery[redis]'`,"
            " then TEST_FLOWER=V/bin"
        )
    with flower_of(site, Path(programs)) as url:
        until(lambda: asked(f"{url}/api/workers?refresh=1"), why="Flower sees a worker")

        ((name, found),) = asked(f"{url}/api/workers?refresh=1").items()
        assert name.startswith("paidup-worker-")
        assert [queue["name"] for queue in found["active_queues"]] == [QUEUE]
        assert asked(f"{url}/api/workers?status=1") == {name: True}
        assert asked(f"{url}/api/queues/length") == {
            "active_queues": [{"name": QUEUE, "messages": 0}]
        }
