"""Several processes count as one, before and after one of them dies."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from runtime.metrics_files import (
    FOLDER_VARIABLE,
    InstanceRunning,
    claimed_folder,
    fold_dead,
    is_running,
)

COUNT = """
import sys
from runtime.telemetry import build_metrics
metrics = build_metrics(secrets=["0a1b"])
metrics.webhook_received.labels("accepted").inc(float(sys.argv[1]))
metrics.webhook_secret_last_used.labels("0a1b").set(float(sys.argv[1]))
metrics.webhook_ack_seconds.observe(0.2)
"""
SCRAPE = "import sys; from runtime.telemetry import *; print(render(build_metrics()).decode())"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "metrics"


def run(folder: Path, program: str, *arguments: str) -> str:
    environ = {**os.environ, FOLDER_VARIABLE: str(folder)}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout


def scraped(folder: Path) -> set[str]:
    return set(run(folder, SCRAPE).splitlines())


def test_processes_that_died_count_on_after_their_files_are_folded(folder: Path) -> None:
    with claimed_folder(folder, {}):
        for amount in ("2", "5", "3"):
            run(folder, COUNT, amount)
        before = scraped(folder)
        folded = fold_dead(folder)
        after = scraped(folder)

        assert before == after
        assert 'billing_webhook_received_total{result="accepted"} 10.0' in after
        assert 'billing_webhook_received_total{result="refused"} 0.0' in after
        assert "billing_webhook_ack_seconds_count 3.0" in after
        assert 'billing_webhook_secret_last_used_timestamp_seconds{secret="0a1b"} 5.0' in after
        assert folded > 3


def test_folding_again_adds_to_what_was_folded(folder: Path) -> None:
    with claimed_folder(folder, {}):
        for amount in ("2", "5"):
            run(folder, COUNT, amount)
            fold_dead(folder)

        assert 'billing_webhook_received_total{result="accepted"} 7.0' in scraped(folder)


def test_files_of_running_processes_are_not_folded(folder: Path) -> None:
    with claimed_folder(folder, {}):
        run(folder, COUNT, "2")

        assert fold_dead(folder, alive=lambda _: True) == 0


def test_an_instance_starts_with_an_empty_folder_and_names_it(folder: Path) -> None:
    folder.mkdir()
    (folder / "counter_1.db").write_bytes(b"of another time")
    environ: dict[str, str] = {}

    with claimed_folder(folder, environ):
        assert list(folder.glob("*.db")) == []
        assert environ == {FOLDER_VARIABLE: str(folder)}


def test_a_second_instance_does_not_empty_the_folder_of_a_running_one(folder: Path) -> None:
    with (
        claimed_folder(folder, {}),
        pytest.raises(InstanceRunning, match="another instance"),
        claimed_folder(folder, {}),
    ):
        pass


def test_a_folder_is_free_again_when_its_instance_has_ended(folder: Path) -> None:
    for _ in range(2):
        with claimed_folder(folder, {}):
            pass


def test_a_running_process_is_distinguished_from_an_ended_one() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    assert is_running(os.getpid())
    assert is_running(1)
    assert not is_running(ended.pid)


def test_a_fold_without_room_loses_and_doubles_nothing(folder: Path) -> None:
    with claimed_folder(folder, {}):
        for amount in ("2", "5"):
            run(folder, COUNT, amount)
        before = scraped(folder)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            for _ in range(2):
                with pytest.raises(OSError, match="File too large"):
                    fold_dead(folder)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

        assert scraped(folder) == before
        assert fold_dead(folder) > 0
        assert scraped(folder) == before


def test_a_folder_that_cannot_be_used_is_named_and_each_process_counts_for_itself(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").touch()
    environ = {FOLDER_VARIABLE: "of another time"}

    with capture_logs() as lines, claimed_folder(tmp_path / "data" / "metrics", environ):
        assert environ == {}

    assert lines[0]["folder"] == str(tmp_path / "data" / "metrics")
    assert "make room" in lines[0]["todo"]


def test_no_process_counts_for_an_instance_that_has_ended(folder: Path) -> None:
    environ: dict[str, str] = {}

    with claimed_folder(folder, environ):
        assert environ

    assert environ == {}
