import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops import cli
from ops.errors import NoServerConfigured
from ops.up import replace_process
from runtime.import_path import importing_ours
from runtime.settings import SettingsError

URLS = {"DATABASE_URL": "postgresql://a/b", "REDIS_URL": "redis://a"}
OURS = ("billing", "models", "runtime", "ingest", "workers", "ops", "migrations")


class Replaced(Exception):
    """Raised instead of replacing the test's process; holds the arguments of ``execve``."""

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
    with pytest.raises(NoServerConfigured, match="REDIS_URL"):
        replace_process.replace_process("ingest", {"PAIDUP_DATA_DIR": str(tmp_path)}, "REDIS_URL")


def test_it_stays_itself_where_a_setting_is_out_of_bounds() -> None:
    with pytest.raises(SettingsError, match="PAIDUP_LIVEMODE"):
        replace_process.replace_process("ingest", {**URLS, "PAIDUP_LIVEMODE": "maybe"}, "REDIS_URL")


@pytest.fixture
def rivals(tmp_path: Path) -> Path:
    """A folder with packages named like Paidup's, which end every process that imports them."""
    folder = tmp_path / "rivals"
    for name in OURS:
        (folder / name).mkdir(parents=True)
        for module in ("__init__", "__main__"):
            (folder / name / f"{module}.py").write_text(f"raise SystemExit('a rival {name}')")
    return folder


@pytest.mark.parametrize(
    ("module", "named"),
    [
        ("ingest", "REDIS_URL"),
        ("workers", "DATABASE_URL"),
        ("ops.console", "DATABASE_URL"),
        ("workers.drain.pool", "CELERY_BROKER_URL"),
    ],
)
def test_a_process_of_ours_imports_ours_where_rivals_are_on_the_path(
    module: str, named: str, rivals: Path
) -> None:
    """Check that the service starts, by the error about its missing settings."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f":{rivals}"}

    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=rivals,
        env=importing_ours(environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert "rival" not in done.stderr
    assert named in done.stderr
    assert done.returncode != 0


def test_the_operators_own_modules_can_still_be_imported(rivals: Path) -> None:
    (rivals / "theirs.py").touch()
    environ = importing_ours({"PATH": os.environ["PATH"], "PYTHONPATH": str(rivals)})
    command = [sys.executable, "-c", "import theirs, models; print(models.__file__)"]

    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    assert done.stderr == ""
    assert str(rivals) not in done.stdout
