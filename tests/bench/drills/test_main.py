"""The command line of drills: the list, and the exit codes."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.drills.__main__ import main
from bench.drills.registry import DRILLS


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words, env={"COLUMNS": "200"})


def test_without_a_name_it_lists_every_drill() -> None:
    listed = run()

    assert listed.exit_code == 0
    assert [name for name in DRILLS if name not in listed.stdout] == []


def test_without_prometheus_it_names_the_package_and_exits_with_two(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    ended = run("redis-unsafe")

    assert ended.exit_code == 2
    assert "Debian's package `prometheus`" in ended.stderr


def test_without_a_stack_it_says_how_to_start_one_and_exits_with_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "prometheus").write_text("#!/bin/sh\n")
    (tmp_path / "prometheus").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PAIDUP_DATA_DIR", str(tmp_path))

    ended = run("redis-unsafe")

    assert ended.exit_code == 1
    assert "start one with `make up`" in ended.stderr
