from contextlib import nullcontext
from typing import Any

import pytest
from click.testing import CliRunner

import bench.__main__ as command
from bench import report


def test_versions_are_read_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class FakeRounds:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def run(self) -> None:
            done.append("run")

    monkeypatch.setattr(command, "machine", lambda _: nullcontext())
    monkeypatch.setattr(command, "BenchRounds", FakeRounds)
    monkeypatch.setattr(report, "versions", lambda _: done.append("versions"))

    result = CliRunner().invoke(command.main, ["--no-peers", "--no-keep"])

    assert result.exit_code == 0, result.output
    assert done == ["versions", "run"]
