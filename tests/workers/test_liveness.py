import os
import signal
import subprocess
import sys
from pathlib import Path

from structlog.testing import capture_logs

from tests.workers.waiting import until
from workers.liveness import ClaimFile, Pulse, orphaned_claims

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


def test_a_claim_file_that_cannot_be_made_stops_no_claim_and_is_logged_once(tmp_path: Path) -> None:
    with capture_logs() as lines:
        claim_file = ClaimFile(tmp_path / "gone")
        for token in ("a", "b"):
            with claim_file.holding(token):
                pass

    assert [line["loop"] for line in lines] == [f"claim file in {tmp_path / 'gone'}"]


def test_a_claim_file_is_made_once_there_is_room(tmp_path: Path) -> None:
    claim_file = ClaimFile(tmp_path / "later")
    (tmp_path / "later").mkdir()

    with claim_file.holding("a token"):
        (file,) = (tmp_path / "later").iterdir()

        assert file.read_text().rstrip() == "a token"


def test_a_claim_file_needs_no_room_after_its_first_byte(tmp_path: Path) -> None:
    claim_file = ClaimFile(tmp_path)
    (file,) = tmp_path.iterdir()
    before = file.stat().st_size

    with claim_file.holding("a token"):
        assert (before, file.stat().st_size) == (64, 64)
    assert file.read_text().strip() == ""


def test_a_pulse_that_cannot_be_kept_says_so_and_stops_no_claim(tmp_path: Path) -> None:
    pulse = Pulse(tmp_path / "gone" / "pulse")

    with capture_logs() as lines:
        pulse.beat()
        pulse.beat()

    assert (len(lines), pulse.is_kept(), pulse.last()) == (1, False, 0.0)


def test_asking_whether_a_pulse_is_kept_is_no_beat(tmp_path: Path) -> None:
    pulse = Pulse(tmp_path / "pulse")
    pulse.beat()
    os.utime(tmp_path / "pulse", (1.0, 1.0))

    assert (pulse.is_kept(), pulse.last()) == (True, 1.0)
