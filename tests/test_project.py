"""The project as a stranger meets it: its targets, and its wheel in an environment of its own."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from ops.up.servers.account import temporary_folder

ROOT = Path(__file__).parent.parent
INSIDE = ("billing", "models", "runtime", "ingest", "workers", "ops", "migrations")


def run(*command: str | Path, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PAIDUP_", "COV", "PYTHON"))}
    return subprocess.run(
        command, cwd=cwd, env=clean | environ, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that the account may enter under which PostgreSQL runs when we are root."""
    made = temporary_folder("paidup-wheel-")
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def installed(folder: Path) -> Path:
    """The Python of a new environment with the built wheel; its dependencies are this one's."""
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


def rivals(folder: Path) -> str:
    """Write packages with the names of Paidup's, which end any process that imports them."""
    for name in INSIDE:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise SystemExit('a rival {name}')\n")
    return str(folder)


@pytest.mark.servers
def test_the_wheel_installs_one_name(installed: Path) -> None:
    wheel = next(installed.parents[2].glob("paidup-*.whl"))

    with ZipFile(wheel) as archive:
        names = archive.namelist()
        top_level = next(name for name in names if name.endswith("/top_level.txt"))

        assert archive.read(top_level).decode().split() == ["paidup"]
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"paidup"}


@pytest.mark.servers
def test_the_wheel_carries_every_file_that_is_read_at_run_time(installed: Path) -> None:
    wheel = next(installed.parents[2].glob("paidup-*.whl"))
    tracked = run("git", "ls-files", *INSIDE, cwd=ROOT).stdout.split()

    with ZipFile(wheel) as archive:
        carried = set(archive.namelist())

    assert {f"paidup/{name}" for name in tracked} <= carried


@pytest.mark.servers
def test_an_application_beside_it_cannot_import_our_packages(
    installed: Path, tmp_path: Path
) -> None:
    for name in INSIDE:
        imported = run(installed, "-c", f"import {name}", cwd=tmp_path)

        assert f"No module named '{name}'" in imported.stderr


@pytest.mark.servers
def test_the_installed_doctor_speaks_from_another_folder(installed: Path, tmp_path: Path) -> None:
    answered = run(installed.with_name("paidup"), "doctor", cwd=tmp_path)

    assert answered.returncode == 1
    assert "DATABASE_URL" in answered.stdout + answered.stderr
    assert "Traceback" not in answered.stderr


@pytest.mark.servers
def test_the_installed_demo_passes_beside_packages_with_our_names(
    installed: Path, tmp_path: Path
) -> None:
    played = run(
        installed.with_name("paidup"), "demo", cwd=tmp_path, PYTHONPATH=rivals(tmp_path / "theirs")
    )

    assert played.returncode == 0, played.stdout + played.stderr


@pytest.mark.servers
def test_the_demo_of_a_checkout_passes_beside_packages_with_our_names(tmp_path: Path) -> None:
    paidup = Path(sys.executable).with_name("paidup")

    played = run(paidup, "demo", cwd=tmp_path, PYTHONPATH=rivals(tmp_path / "theirs"))

    assert played.returncode == 0, played.stdout + played.stderr
