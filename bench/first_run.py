"""Measure a newcomer's first run: from ``git clone`` to the first paid user that the demo shows.

    make first-run            or    python3 -m bench.first_run [--warm N]

Each run clones this repository into a new folder and calls ``make demo`` there, with an environment
that has a home of its own. The first run finds pip's cache cold, the others find it warm if the
package index lets pip keep what it sends: the table says how much was downloaded. The baseline
builds an environment with every development tool, as one had to before the demo could start:
``python -m venv``, then one silent ``pip install`` of requirements/dev.txt. Standard library only:
it runs where nothing is installed yet. Exits 1 if a run fails or shows no paid user.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PAID: Final = "usr_123 has paid"
"""The start of the line with which the demo shows its first paid user."""

INSTALLED: Final = ".venv is ready"
_DOWNLOADED: Final = re.compile(r"\s*installed .*?, (\d+) MB downloaded")
_GIVEN: Final = ("PATH", "LANG", "PYTHON", "SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY")
"""The caller's variables that lead to Python and, with all of PIP_*, to a package index."""


class RunFailed(Exception):
    """A run failed; the text has the end of its output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRun:
    """The seconds since the start of ``git clone``."""

    installed: float
    paid: float
    whole: float
    longest_silence: float
    megabytes: float
    """What pip downloaded, in MB; it is no part of a time."""


def first_run(home: Path) -> FirstRun:
    """Clone and run the demo with the pip cache in ``home``.

    Raises:
        RunFailed: if the demo fails or shows no paid user.
    """
    with tempfile.TemporaryDirectory(prefix="paidup-first-run-") as folder:
        Path(folder).chmod(0o755)  # as root, the demo's PostgreSQL runs as another account
        clone = Path(folder) / "paidup"
        began = time.monotonic()
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)  # noqa: S603, S607
        return _timed(["make", "demo"], clone, home, began)


def baseline(home: Path) -> float:
    """Return the seconds that an environment with every development tool takes.

    Raises:
        subprocess.CalledProcessError: if it cannot be made.
    """
    with tempfile.TemporaryDirectory(prefix="paidup-baseline-") as folder:
        began = time.monotonic()
        python = str(Path(folder) / "bin" / "python")
        quiet = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
        lock = str(ROOT / "requirements" / "dev.txt")
        for command in (
            [sys.executable, "-m", "venv", folder],
            [python, "-m", "pip", "install", *quiet, "-r", lock],
        ):
            subprocess.run(command, env=environ(home), check=True, capture_output=True)  # noqa: S603
        return time.monotonic() - began


def _timed(command: Sequence[str], folder: Path, home: Path, began: float) -> FirstRun:
    marks: dict[str, float] = {}
    lines: list[str] = []
    heard, silence = began, 0.0
    with subprocess.Popen(  # noqa: S603 - make, in the clone
        command,
        cwd=folder,
        env=environ(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        for line in process.stdout:
            now = time.monotonic()
            heard, silence = now, max(silence, now - heard)
            lines.append(line)
            for mark in (PAID, INSTALLED):
                if line.startswith(mark):
                    marks.setdefault(mark, now - began)
    if process.returncode or set(marks) != {PAID, INSTALLED}:
        raise RunFailed(
            f"{' '.join(command)} ended with {process.returncode}:\n{''.join(lines[-20:])}"
        )
    return FirstRun(
        installed=marks[INSTALLED],
        paid=marks[PAID],
        whole=time.monotonic() - began,
        longest_silence=silence,
        megabytes=sum(float(found[1]) for found in map(_DOWNLOADED.match, lines) if found),
    )


def environ(home: Path) -> dict[str, str]:
    """Return the environment of a login in ``home`` that can reach the caller's package index."""
    given = {
        name: value
        for name, value in os.environ.items()
        if name in _GIVEN or name.startswith("PIP_")
    }
    return {**given, "HOME": str(home), "PIP_CACHE_DIR": str(home / "cache")}


def report(cold: FirstRun, warm: Sequence[FirstRun], built: Sequence[float]) -> str:
    """Return the table: seconds, the median of the warm runs and their range."""
    rows = [f"{'seconds':34}{'cold':>8}{'warm':>8}   range of {len(warm)} warm runs"]
    for title, name in (
        ("clone to .venv ready", "installed"),
        ("clone to a paid user shown", "paid"),
        ("clone to the end of the demo", "whole"),
        ("longest silence", "longest_silence"),
        ("downloaded, MB", "megabytes"),
    ):
        values = sorted(float(getattr(run, name)) for run in warm)
        span = f"{values[0]:.1f} to {values[-1]:.1f}"
        rows.append(
            f"{title:34}{getattr(cold, name):8.1f}{statistics.median(values):8.1f}   {span}"
        )
    tools = statistics.median(built)
    ready = statistics.median(run.installed for run in warm)
    rows.append(f"{'baseline: every tool, silently':34}{'':8}{tools:8.1f}")
    rows.append(f".venv ready / baseline, both warm: {ready / tools:.2f}")
    return "\n".join(rows)


def main() -> int:
    """Run, print the table, and exit 1 with the output of a run that failed."""
    parser = argparse.ArgumentParser(description="Time a newcomer's first run.")
    parser.add_argument("--warm", type=int, default=3, help="Runs with a warm pip cache.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paidup-newcomer-") as name:
        home = Path(name)
        try:
            cold = first_run(home)
            baseline(home)  # fills the cache with what only the tools need
            built = [baseline(home) for _ in range(2)]
            warm = [first_run(home) for _ in range(max(1, asked.warm))]
        except RunFailed as error:
            print(error, file=sys.stderr)  # noqa: T201 - a script
            return 1
    print(report(cold, warm, built))  # noqa: T201 - a script
    return 0


if __name__ == "__main__":
    sys.exit(main())
