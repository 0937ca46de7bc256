import os
import sys
from pathlib import Path

import pytest

from ops import become, cli
from ops.errors import NothingRuns
from runtime.settings import SettingsError

URLS = {"DATABASE_URL": "postgresql://a/b", "REDIS_URL": "redis://a"}


class Replaced(Exception):
    """What this process would have become."""

    def __init__(self, path: str, arguments: list[str], environ: dict[str, str]) -> None:
        self.path, self.arguments, self.environ = path, arguments, environ


@pytest.fixture(autouse=True)
def _no_exec(monkeypatch: pytest.MonkeyPatch) -> None:
    def execve(path: str, arguments: list[str], environ: dict[str, str]) -> None:
        raise Replaced(path, arguments, environ)

    monkeypatch.setattr(os, "execve", execve)


@pytest.mark.parametrize(
    ("command", "module"), [("ingest", "ingest"), ("worker", "workers"), ("console", "ops.console")]
)
def test_the_command_becomes_its_process(
    command: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in URLS.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(Replaced) as replaced:
        cli.run([command])

    assert replaced.value.arguments == [sys.executable, "-m", module]
    assert replaced.value.environ["REDIS_URL"] == "redis://a"
    assert replaced.value.environ["PYTHONSAFEPATH"] == "1"


def test_it_stays_itself_where_a_server_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NothingRuns, match="REDIS_URL"):
        become.become("ingest", {"PAIDUP_DATA_DIR": str(tmp_path)}, "REDIS_URL")


def test_it_stays_itself_where_a_setting_is_out_of_bounds() -> None:
    with pytest.raises(SettingsError, match="PAIDUP_LIVEMODE"):
        become.become("ingest", {**URLS, "PAIDUP_LIVEMODE": "maybe"}, "REDIS_URL")
