import signal
import subprocess
import sys
from pathlib import Path

from tests.workers.waiting import until
from workers.liveness import of_the_dead

DRAINER = """
import pathlib, sys, time
from workers.liveness import Will
folder, token = pathlib.Path(sys.argv[1]), sys.argv[2]
will = Will(folder)
with will.naming(token):
    (folder / "named").touch()
    while not (folder / "go_on").exists():
        time.sleep(0.01)
(folder / "done").touch()
time.sleep(60)
"""


def drainer(folder: Path) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, "-c", DRAINER, str(folder), "a token"])
    until((folder / "named").exists, why="it drains")
    return process


def tokens(folder: Path) -> list[str]:
    return [token for _, token in of_the_dead(folder)]


def test_a_process_that_dies_in_the_middle_leaves_the_name_of_its_claim(tmp_path: Path) -> None:
    process = drainer(tmp_path)
    alive = tokens(tmp_path)

    process.send_signal(signal.SIGKILL)
    process.wait()

    assert (alive, tokens(tmp_path)) == ([], ["a token"])


def test_one_that_dies_between_two_claims_leaves_none(tmp_path: Path) -> None:
    process = drainer(tmp_path)
    (tmp_path / "go_on").touch()
    until((tmp_path / "done").exists, why="it has given its claim back")

    process.kill()
    process.wait()

    assert tokens(tmp_path) == [""]
