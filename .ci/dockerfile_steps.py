"""Run the steps of the Dockerfile without a container engine, each stage in its own environment.

    python3 .ci/dockerfile_steps.py

Every COPY and RUN is carried out as it stands. Only the root of the file system is replaced, by a
folder for each stage, and ``pip`` is the stage's own. The step that makes the image's account needs
root in a container: it is printed as left out. The script ends by running the image's entry point,
and fails where a step fails.
"""

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = ("groupadd ",)
"""How the commands begin that change the container's accounts."""

MOVED = ("/src", "/wheels", "/tmp")  # noqa: S108 - paths inside the image
"""The folders of the image that its steps name."""


class Stage:
    """One FROM: a folder that stands for its file system, and an environment for its Python."""

    def __init__(self, folder: Path, wheels: Path) -> None:
        self.folder = folder
        self.wheels = wheels
        self.workdir = folder
        self.environ = {"PIP_QUIET": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)

    def enter(self, inside: str) -> None:
        """Do a WORKDIR."""
        self.workdir = self.path(inside)
        self.workdir.mkdir(parents=True, exist_ok=True)

    def copy(self, source: str, target: str) -> None:
        """Do a COPY of one file, or of all that git knows."""
        listed = _output("git", "ls-files", "-z").split("\0") if source == "." else [source]
        for name in filter(None, listed):
            to = self.path(target) if target.startswith("/") else self.workdir / name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, to)

    def shell(self, command: str) -> None:
        """Do a RUN, the paths it names moved into this stage's folder."""
        if command.startswith(LEFT_OUT):
            print(f"    left out: {command}", flush=True)
            return
        command = re.sub(r"--mount=\S+\s+", "", command)
        # In one pass: what a folder is moved to may contain the name of another.
        named = re.compile(rf"(?<![\w/])({'|'.join(MOVED)})(?=/|\s|$)")
        moved = named.sub(lambda found: shlex.quote(str(self.path(found[0]))), command)
        self.run(["sh", "-euc", moved])

    def run(self, command: Sequence[str], *, check: bool = True) -> int:
        """Run a command with the stage's programs first and nothing of the caller's environment."""
        path = f"{self.folder / 'env' / 'bin'}:/usr/bin:/bin"
        environ = {"PATH": path, "HOME": str(self.folder), **self.environ}
        return subprocess.run(command, cwd=self.workdir, env=environ, check=check).returncode

    def path(self, inside: str) -> Path:
        """Return where a path of the image lies here; all stages share the wheels."""
        if inside.startswith("/wheels"):
            return self.wheels
        return self.folder / inside.lstrip("/")


def steps(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction and its arguments, continued lines joined and comments dropped."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^\s*#.*\n", "", dockerfile))
    for line in filter(None, map(str.strip, joined.splitlines())):
        instruction, _, arguments = line.partition(" ")
        yield instruction, arguments.strip()


def build(folder: Path) -> tuple[Stage, list[str]]:
    """Carry out every step; return the last stage and the image's entry point."""
    stages: list[Stage] = []
    entry: list[str] = []
    for instruction, arguments in steps((ROOT / "Dockerfile").read_text(encoding="utf-8")):
        print(f"  {instruction} {arguments}", flush=True)
        match instruction:
            case "FROM":
                stages.append(Stage(folder / f"stage{len(stages)}", folder / "wheels"))
            case "WORKDIR":
                stages[-1].enter(arguments)
            case "COPY":
                stages[-1].copy(*arguments.split())
            case "RUN":
                stages[-1].shell(arguments)
            case "ENV":
                named = (part.partition("=") for part in shlex.split(arguments))
                stages[-1].environ |= {name: value for name, _, value in named}
            case "ENTRYPOINT":
                entry = re.findall(r'"([^"]+)"', arguments)
            case "USER" | "CMD":
                pass
            case _:
                sys.exit(f"the Dockerfile has a step that this script cannot do: {instruction}")
    return stages[-1], entry


def main() -> None:
    """Build, then hold what was built to what the image promises."""
    with tempfile.TemporaryDirectory() as name:
        stage, entry = build(Path(name))
        stage.run([*entry, "--version"])
        stage.run([*entry, "doctor", "--help"])
        stage.run(["python", "-m", "pip", "check"])
        if stage.run(["python", "-c", "import models"], check=False) == 0:
            sys.exit("`import models` works beside the installed wheel, and must not")


def _output(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout


if __name__ == "__main__":
    main()
