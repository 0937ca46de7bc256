import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ops import cli
from ops.cli import group, run
from ops.terminal.command_name import call_by_name, name_to_type, with_command_name

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / ".venv" / "bin" / "paidup"


DOCUMENTS = {
    "audit list": [],
    "backfill": ["--reason", "tests"],
    "changes": [],
    "compare": ["--sql", "SELECT 1"],
    "console sessions end": ["ada", "--reason", "tests"],
    "console sessions list": [],
    "console token": ["app"],
    "dead discard": ["evt_1", "--reason", "tests"],
    "dead list": [],
    "dead replay": ["evt_1", "--reason", "tests"],
    "dead show": ["evt_1"],
    "doctor": [],
    "events list": [],
    "events show": ["evt_1"],
    "expire": [],
    "explain": ["usr_1"],
    "grants add": ["usr_1", "--plan", "premium", "--for", "1d", "--reason", "tests"],
    "grants end": ["grant_1", "--reason", "tests"],
    "grants list": [],
    "jobs list": [],
    "jobs show": ["1"],
    "links add": ["cs_1", "usr_1", "--reason", "tests"],
    "links end": ["link_1", "--reason", "tests"],
    "links list": [],
    "links waiting": [],
    "plans apply": ["--reason", "tests"],
    "plans check": [],
    "plans diff": [],
    "plans draft": [],
    "rebuild": ["--all", "--dry-run"],
    "reconcile": [],
    "reconcile list": [],
    "reconcile show": [],
    "replay": ["evt_1", "--reason", "tests"],
    "runs list": [],
    "send": [],
    "status": [],
}
"""Every command that prints JSON, with arguments; `demo` starts servers."""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script in a virtual environment below the working folder."""
    path = tmp_path / ".venv" / "bin" / "paidup"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return path


@pytest.mark.parametrize("relative", [True, False])
def test_a_script_below_this_folder_is_named_from_here(script: Path, *, relative: bool) -> None:
    path = ".venv/bin/paidup" if relative else str(script)

    assert name_to_type(path, [path]) == ".venv/bin/paidup"


def test_a_script_on_the_search_path_is_named_by_its_last_name(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(script.parent))

    assert name_to_type(str(script), []) == "paidup"


def test_another_paidup_on_the_search_path_does_not_count(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other" / "paidup"
    other.parent.mkdir()
    other.write_bytes(script.read_bytes())
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(other.parent))

    assert name_to_type(str(script), []) == ".venv/bin/paidup"


def test_a_script_elsewhere_is_named_in_full_and_quoted(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a b"
    script.parent.rename(folder)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    assert name_to_type(str(folder / "paidup"), []) == f"'{folder}/paidup'"


def test_a_module_is_called_as_it_was() -> None:
    script = "/srv/site-packages/paidup/__main__.py"

    assert name_to_type(script, [".venv/bin/python", "-m", "paidup"]) == (
        ".venv/bin/python -m paidup"
    )


def test_only_calls_are_renamed(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(script)])

    said = with_command_name(
        "Paidup: run `paidup migrate`, or `A=$(b) paidup up`; paidup is not up"
    )

    assert said == (
        "Paidup: run `.venv/bin/paidup migrate`, or `A=$(b) .venv/bin/paidup up`; paidup is not up"
    )
    assert with_command_name(said) == said
    assert call_by_name("paidup dead list") == ".venv/bin/paidup dead list"


@pytest.mark.skipif(not SCRIPT.exists(), reason="needs the .venv of make setup")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["status"], "`.venv/bin/paidup up`"),
        (["--help"], "    .venv/bin/paidup demo\n"),
        (["dead", "list", "--help"], "Example:\n    .venv/bin/paidup dead list"),
        (["sned"], "`.venv/bin/paidup send`"),
        (["doctor"], "start `.venv/bin/paidup up`"),
    ],
)
def test_every_hint_of_the_real_command_can_be_typed(
    arguments: list[str], says: str, tmp_path: Path
) -> None:
    environ = {"PATH": "/usr/bin:/bin", "PAIDUP_DATA_DIR": str(tmp_path)}

    done = subprocess.run(
        [".venv/bin/paidup", *arguments],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    said = done.stdout + done.stderr
    assert says in said
    assert "`paidup" not in said


@pytest.mark.skipif(not SCRIPT.exists(), reason="needs the .venv of make setup")
def test_on_the_search_path_the_short_name_is_enough(tmp_path: Path) -> None:
    environ = {"PATH": f"{SCRIPT.parent}{os.pathsep}/usr/bin", "PAIDUP_DATA_DIR": str(tmp_path)}

    done = subprocess.run(
        ["paidup", "status"], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )

    assert "or start `paidup up` first" in done.stderr


def printing_json(command: click.Command, name: str) -> Iterator[str]:
    """Yield the names of a command and of those in its group that take --json."""
    if isinstance(command, click.Group):
        for inner, each in command.commands.items():
            yield from printing_json(each, f"{name} {inner}")
    if any("--json" in option.opts for option in command.params):
        yield name


def test_the_table_above_names_every_command_that_prints_json() -> None:
    context = click.Context(group)
    named = {
        each
        for name in group.list_commands(context)
        if (command := group.get_command(context, name))
        for each in printing_json(command, name)
    }

    assert named - {"demo"} == DOCUMENTS.keys()


@pytest.mark.parametrize("command", DOCUMENTS)
def test_every_hint_in_a_document_can_be_typed(
    command: str,
    script: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "STRIPE_WEBHOOK_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PAIDUP_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(script)])
    # It would name this script in the help of every command until the last test.
    monkeypatch.setattr(cli, "_name_in_examples", lambda _: None)

    run([*command.split(), *DOCUMENTS[command], "--json"])

    said = capsys.readouterr()
    assert json.loads(said.out)
    assert "`paidup" not in said.out + said.err


@pytest.mark.skipif(not SCRIPT.exists(), reason="needs the .venv of make setup")
@pytest.mark.parametrize("command", ["dead list", "doctor", "events list", "explain", "status"])
def test_every_hint_over_unreachable_servers_can_be_typed(command: str, tmp_path: Path) -> None:
    environ = {
        "PATH": "/usr/bin:/bin",
        "PAIDUP_DATA_DIR": str(tmp_path),
        "DATABASE_URL": "postgresql://127.0.0.1:1/paidup",
        "REDIS_URL": "redis://127.0.0.1:1",
    }

    done = subprocess.run(
        [".venv/bin/paidup", *command.split(), *DOCUMENTS[command], "--json"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "`.venv/bin/paidup " in done.stdout
    assert "`paidup" not in done.stdout + done.stderr
