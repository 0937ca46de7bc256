"""Run the drill of docs/drills/dead-letters.md word for word on a whole stack."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ops.up.servers.account import temporary_folder
from ops.up.servers.binaries import postgres_binaries
from ops.up.up_file import path_in
from tests.system.stack_env import running_system

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "drills" / "dead-letters.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
SECONDS = 90.0

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash"),
]


class DrillStep(NamedTuple):
    """The words that a block of the page must print, and those that it must not."""

    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    code: int = 0
    repeated: bool = False


STEPS = (
    DrillStep(),
    DrillStep(("ALTER TABLE",)),
    DrillStep(("202: ", "paidup explain usr_drill")),
    DrillStep(("CheckViolation (23514)",), repeated=True),
    DrillStep(("dead letters", "usr_drill (", " problem", " warning")),
    DrillStep(("CheckViolation (23514)", "facts it would state", "paidup dead replay evt_")),
    DrillStep(("Dry run, nothing was changed", "usr_drill", "signals_enabled")),
    DrillStep(("failed again",), ("applied",), code=1),
    DrillStep(("ALTER TABLE",)),
    DrillStep(("Dry run, nothing was changed", "signals_enabled"), ("failed",)),
    DrillStep(("applied",), ("failed",)),
    DrillStep(("signals_enabled: allowed",), ("failed",)),
    DrillStep(("no open dead letter matches",)),
    DrillStep(("replayed", "CheckViolation (23514)")),
    DrillStep(("drill: too early", "drill: the constraint is gone")),
    DrillStep(("nothing differs",)),
    DrillStep(("every paying user has access",), ("dead letters",)),
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in which a stack runs on ``.paidup``, with the commands in ``bin``."""
    folder = temporary_folder("paidup-drill-")
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    script = bin_folder / "paidup"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m paidup "$@"\n')
    script.chmod(0o755)
    (bin_folder / "psql").symlink_to(postgres_binaries() / "psql")
    try:
        with running_system(folder / ".paidup", PYTHONPATH=str(ROOT)):
            assert path_in(folder / ".paidup").exists()
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(block: str, folder: Path) -> tuple[int, str]:
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        ["bash", "-c", f"{BLOCKS[0]}\n{block}"],
        cwd=folder,
        env={**kept, "PATH": f"{folder / 'bin'}:/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def check(block: str, step: DrillStep, folder: Path) -> None:
    until = time.monotonic() + SECONDS
    while True:
        code, said = run(block, folder)
        missing = [each for each in step.has if each not in said]
        if not (missing and step.repeated and time.monotonic() < until):
            break
        time.sleep(0.2)
    assert not missing, f"{block}{said}"
    assert [each for each in step.lacks if each in said] == [], f"{block}{said}"
    if "paidup doctor" not in block:  # Its exit code says what else it thinks of this machine.
        assert code == step.code, f"{block}{said}"


def test_the_drill_leads_dead_letters_out_again_as_the_page_says(folder: Path) -> None:
    assert len(BLOCKS) == len(STEPS)

    for block, step in zip(BLOCKS, STEPS, strict=True):
        check(block, step, folder)
