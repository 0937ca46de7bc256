import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from ops import cli
from ops.demo.plans import PLANS
from ops.errors import CommandFailed
from paidup import __version__

ROOT = Path(__file__).parents[2]
COMMANDS_PAGE = (ROOT / "docs" / "commands.md").read_text()
PAIDUP = [sys.executable, "-m", "ops.cli"]


def call(*arguments: str, folder: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*PAIDUP, *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_list_of_commands_imports_none_of_them(tmp_path: Path) -> None:
    script = (
        "import sys; from ops.cli import run; code = run(['--help']);"
        "heavy = {'sqlalchemy', 'redis', 'rich', 'celery', 'alembic'} & set(sys.modules);"
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.stderr == ""
    assert all(name in done.stdout for name in cli.COMMANDS)


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([name, "--help"]) == 0

    said = capsys.readouterr().out
    assert "Example:" in said
    assert f"paidup {name}" in said


@pytest.mark.parametrize(
    "arguments", [["nothing-like-it"], ["doctor", "--never"], ["plans", "check", "a", "b"]]
)
def test_wrong_use_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(arguments) == 2

    assert "paidup" in capsys.readouterr().err


def test_what_we_raise_on_purpose_is_one_sentence_and_1(tmp_path: Path) -> None:
    done = call("migrate", folder=tmp_path)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("paidup: DATABASE_URL is not set")


def test_a_migration_needs_no_other_address_than_the_owners(tmp_path: Path) -> None:
    done = call("migrate", folder=tmp_path, PAIDUP_OWNER_DATABASE_URL="postgresql://127.0.0.1:1/x")

    assert done.returncode == 1
    assert done.stderr.startswith("paidup: PostgreSQL failed: connection failed")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli.group, "main", broken)

    with pytest.raises(ZeroDivisionError):
        cli.run([])


def test_no_is_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(**_: object) -> None:
        raise CommandFailed("it did not work; try again")

    monkeypatch.setattr(cli.group, "main", refused)

    assert cli.run([]) == 1
    assert capsys.readouterr().err == "paidup: it did not work; try again\n"


def test_an_error_writes_out_what_would_steer_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(**_: object) -> None:
        raise CommandFailed("two lines:\n  usr_\x1b[2J")

    monkeypatch.setattr(cli.group, "main", refused)

    assert cli.run([]) == 1
    assert capsys.readouterr().err == "paidup: two lines:\n  usr_\\x1b[2J\n"


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [*PAIDUP, "plans", "check", "--json", PLANS],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout
    child.stdout.close()

    assert child.stderr
    assert child.stderr.read() == ""
    assert child.wait(30) == 0
    child.stderr.close()


def test_a_service_is_not_looked_for_in_the_folder_it_is_started_in(tmp_path: Path) -> None:
    (tmp_path / "workers").mkdir()
    (tmp_path / "workers" / "__init__.py").write_text("raise SystemExit('a stranger ran')")
    (tmp_path / "workers" / "__main__.py").touch()

    done = call(
        "worker",
        folder=tmp_path,
        DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
        REDIS_URL="redis://127.0.0.1:1",
        PAIDUP_WORKER_PROCESSES="0",
    )

    assert "stranger" not in done.stderr
    assert "PAIDUP_WORKER_PROCESSES" in done.stderr
    assert done.returncode == 1


def test_plans_check_names_every_problem(tmp_path: Path) -> None:
    plans = tmp_path / "plans.toml"
    plans.write_text(
        '[plans.a]\nprices = ["price_1"]\ngrace_days = -1\n[plans.b]\nprices = ["price_1"]\n'
    )

    done = call("plans", "check", "--json", folder=tmp_path)

    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert not document["ok"]
    assert len(document["problems"]) == 2


def test_plans_check_says_all_problems_to_people_too(tmp_path: Path) -> None:
    (tmp_path / "plans.toml").write_text("[plans.a]\nprice = 1\ngrace_days = 'x'\n")

    done = call("plans", "check", folder=tmp_path)

    assert done.returncode == 1
    assert done.stderr.count("plans.toml: ") == done.stderr.count("\n") == 2


def test_plans_without_a_mistake_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["plans", "check", str(PLANS)]) == 0
    listed = capsys.readouterr().out
    assert "premium" in listed
    assert "max_devices 5" in listed
    assert "True" not in listed

    assert cli.run(["plans", "check", str(PLANS), "--json"]) == 0
    assert "premium" in json.loads(capsys.readouterr().out)["plans"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[plans", "is not TOML"),
        (b"\xff\xfe", "is not UTF-8"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_no_plans_document_is_named(
    tmp_path: Path, content: bytes | None, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)

    assert cli.run(["plans", "check", str(path)]) == 1

    said = capsys.readouterr().err
    assert says in said
    assert str(path) in said


def test_help_is_there_at_once(tmp_path: Path) -> None:
    started = time.monotonic()

    assert call("--help", folder=tmp_path).returncode == 0

    assert time.monotonic() - started < 2


def test_an_interruption_is_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: object) -> None:
        raise click.Abort

    monkeypatch.setattr(cli.group, "main", interrupted)

    assert cli.run([]) == 1
    assert capsys.readouterr().err == "interrupted\n"


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0

    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["migrate", "--json"], 2, "--json"),
        (["status", "--json"], 1, "is not set"),
        (["explain", "--json"], 2, "name a user"),
        (["events", "show", "--json"], 2, "EVENT"),
        (["sned", "--json"], 2, "did you mean `paidup send`"),
    ],
)
def test_with_json_an_error_is_a_document_on_standard_output_too(
    arguments: list[str], code: int, says: str, tmp_path: Path
) -> None:
    done = call(*arguments, folder=tmp_path)

    document = json.loads(done.stdout)
    assert (document["exit_code"], done.returncode) == (code, code)
    assert says in document["error"]
    assert says in done.stderr


def test_with_json_a_bug_is_a_document_and_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(cli.group, "main", broken)

    with pytest.raises(ZeroDivisionError):
        cli.run(["status", "--json"])

    assert json.loads(capsys.readouterr().out) == {
        "error": "ZeroDivisionError: by zero",
        "exit_code": 1,
    }


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("sned", "`paidup send`"),
        ("explian", "`paidup explain`"),
        ("list", "`paidup events list`"),
        ("discard", "`paidup dead discard`"),
        ("zzz", "`paidup --help`"),
    ],
)
def test_a_typing_mistake_gets_what_was_probably_meant(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([typed]) == 2

    assert meant in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["paidup", "exp"], ["expire", "explain", "export"]),
        (["paidup", "dead", ""], ["discard", "list", "replay", "show"]),
        (["paidup", "send", "--sce"], ["--scenario"]),
        (["paidup", "send", "--scenario", "dis"], ["dispute_lost", "dispute_won"]),
    ],
)
def test_the_documented_completion_works_in_bash(
    words: list[str], completed: list[str], tmp_path: Path
) -> None:
    [line] = re.findall(r"^    (eval .*bash_source.*)$", COMMANDS_PAGE, re.MULTILINE)
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "paidup"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m ops.cli "$@"\n')
    script.chmod(0o755)
    asked = (
        f"{line}\nCOMP_WORDS=({' '.join(words[:-1])} '{words[-1]}')\nCOMP_CWORD={len(words) - 1}\n"
        "_paidup_completion paidup\nprintf '%s\\n' \"${COMPREPLY[@]}\""
    )

    done = subprocess.run(
        ["bash", "--norc", "-c", asked],
        cwd=ROOT,
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert done.stdout.split() == completed


def test_completing_commands_imports_none_of_them() -> None:
    script = (
        "import sys\nfrom ops.cli import run\ntry:\n    run([])\nfinally:\n"
        "    assert not {'sqlalchemy', 'redis', 'rich'} & set(sys.modules)\n"
    )
    asked = {"_PAIDUP_COMPLETE": "bash_complete", "COMP_WORDS": "paidup st", "COMP_CWORD": "1"}

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **asked},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr, done.returncode) == ("plain,status\n", "", 0)
