import signal
import subprocess
import sys
from pathlib import Path

from tests.workers.waiting import until
from workers.liveness import orphaned_claims

DRAINER = """
import pathlib, sys, time
from workers.liveness import ClaimFile
folder, token = pathlib.Path(sys.argv[1]), sys.argv[2]
claim_file = ClaimFile(folder)
with claim_file.holding(token):
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
    return [token for _, token in orphaned_claims(folder)]


def test_a_process_that_dies_in_a_batch_leaves_the_token_of_its_claim(tmp_path: Path) -> None:
    process = drainer(tmp_path)
    alive = tokens(tmp_path)

    process.send_signal(signal.SIGKILL)
    process.wait()

    assert (alive, tokens(tmp_path)) == ([], ["a token"])


def test_a_process_that_dies_between_two_claims_leaves_no_token(tmp_path: Path) -> None:
    process = drainer(tmp_path)
    (tmp_path / "go_on").touch()
    until((tmp_path / "done").exists, why="it has left its claim")

    process.kill()
    process.wait()

    assert tokens(tmp_path) == [""]
