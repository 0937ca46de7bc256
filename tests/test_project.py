"""The project as a stranger meets it: its targets, and its wheel in an environment of its own."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PAIDUP_", "COV", "PYTHON"))}
    return subprocess.run(
        command, cwd=cwd, env=clean | environ, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the built wheel; its dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    listed = run("git", "ls-files", "-z", cwd=ROOT).stdout.split("\0")
    for name in filter(None, listed):
        if (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)]
    built = run(*build, cwd=folder)
    assert built.returncode == 0, built.stderr
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    wheel = next(folder.glob("paidup-*.whl"))
    target = run(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder
    ).stdout.strip()
    # --python keeps pip's hands off the environment that runs the tests.
    install = [*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    installed = run(*install, cwd=folder)
    assert installed.returncode == 0, installed.stderr
    libraries = folder / "libraries"
    libraries.mkdir()
    here = Path(sysconfig.get_path("purelib"))
    for entry in here.iterdir():
        # Our own editable install must not be what the new environment imports.
        if "paidup" not in entry.name and entry.suffix != ".pth":
            (libraries / entry.name).symlink_to(entry)
    (Path(target) / "libraries.pth").write_text(f"{libraries}\n")
    return folder / "venv" / "bin" / "python"


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = makefile.split(".PHONY:", 1)[1].split("\n", 1)[0].split()

    listed = [
        line.split()[0]
        for line in run("make", "--no-print-directory", "help", cwd=ROOT).stdout.splitlines()
    ]

    assert sorted(listed) == sorted(phony)


@pytest.mark.servers
def test_the_wheel_carries_scripts_migrations_and_lua(installed: Path, tmp_path: Path) -> None:
    asked = (
        "import migrations.versions, runtime.inbox, pathlib;"
        "print(len(list(pathlib.Path(runtime.inbox.__path__[0]).glob('*.lua'))));"
        "print(len(list(pathlib.Path(list(migrations.versions.__path__)[0]).glob('0*.py'))))"
    )

    answered = run(installed, "-c", asked, cwd=tmp_path)

    assert answered.returncode == 0, answered.stderr
    scripts, revisions = map(int, answered.stdout.split())
    assert scripts == len(list((ROOT / "runtime" / "inbox").glob("*.lua"))) > 0
    assert revisions == len(list((ROOT / "migrations" / "versions").glob("0*.py"))) > 0


@pytest.mark.servers
def test_the_installed_doctor_speaks_from_another_folder(installed: Path, tmp_path: Path) -> None:
    answered = run(installed, "-m", "ops.cli", "doctor", cwd=tmp_path)

    assert answered.returncode == 1
    assert "DATABASE_URL" in answered.stdout + answered.stderr
    assert "Traceback" not in answered.stderr
