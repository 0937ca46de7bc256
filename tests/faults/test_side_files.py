"""Metrics, claim files and pulses without room on the disk stop neither ingest nor workers."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.full_disk import on_full_disk, why_no_full_disk, with_short_files
from tests.ingest.ingest_client import event
from tests.ingest.ingest_process import ServerProcess, Under, serving
from tests.workers.worker_process import WorkerSite, customers, running

pytestmark = [
    pytest.mark.servers,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="full disks are made in Linux' way"),
]


def full_disk(folder: Path) -> Under:
    if why := why_no_full_disk():
        pytest.skip(why)
    folder.mkdir()
    return partial(on_full_disk, folder)


def short_files(_: Path) -> Under:
    return with_short_files


def file_in_the_way(folder: Path) -> Under:
    folder.touch()
    return list


DISKS = [full_disk, short_files, file_in_the_way]


@pytest.fixture(params=DISKS)
def under(request: pytest.FixtureRequest, tmp_path: Path) -> Under:
    """Return how to run a command for which ``data`` has no room."""
    make: Callable[[Path], Under] = request.param
    return make(tmp_path / "data")


@pytest.fixture
def ingest(redis_url: str, tmp_path: Path, under: Under) -> Iterator[ServerProcess]:
    with serving(redis_url, tmp_path, under, PAIDUP_INGEST_PROCESSES="1") as served:
        yield served


def test_ingest_without_room_for_its_metrics_serves_and_names_the_folder(
    ingest: ServerProcess, tmp_path: Path
) -> None:
    first = ingest.server_processes()

    answers = [ingest.deliver(event(f"evt_{number}")).status for number in (1, 2, 1)]

    assert answers == [202, 202, 200]
    assert ingest.get("/metrics").status == 200
    assert ingest.server_processes() == first
    assert f"{tmp_path / 'data'}/metrics-ingest-" in ingest.log()
    assert "make room" in ingest.log()
    assert "gave up" not in ingest.log()


@pytest.fixture
def site(database: str, redis_url: str, tmp_path: Path) -> Iterator[WorkerSite]:
    site = WorkerSite(database, redis_url, tmp_path / "worker.log")
    site.environ["PAIDUP_DATA_DIR"] = str(tmp_path / "data")
    site.install_plans()
    yield site
    site.close()


def test_a_worker_without_room_for_its_files_settles_and_names_the_folder(
    site: WorkerSite, under: Under, tmp_path: Path
) -> None:
    with running(site, "workers", under) as worker:
        worker.until_ready()
        children = worker.children
        ids = site.accept(customers(range(300)))
        site.until_drained()

        site.assert_each_applied_once(ids)
        assert worker.children == children
        assert worker.stop() == 0
    log = site.log.read_text()
    assert f"{tmp_path / 'data'}/metrics-worker-" in log
    assert "make room" in log


@pytest.mark.parametrize("command", ["status", "doctor"])
def test_status_and_doctor_name_a_folder_without_room(
    site: WorkerSite, command: str, tmp_path: Path
) -> None:
    under = full_disk(tmp_path / "data")

    asked = under([sys.executable, "-m", "ops.cli", command, "--json"])
    said = subprocess.run(
        asked, env=site.environ, capture_output=True, text=True, check=False
    ).stdout

    assert f"{tmp_path / 'data'}" in said
    assert "on a disk with 0 KiB left" in said
