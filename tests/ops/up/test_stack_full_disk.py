"""``paidup up`` while the disk under its folder is full, and after there is room again."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

from ops.send.delivery import DeliveryClient
from ops.send.endpoint import Endpoint
from ops.up import up_file
from ops.up.servers import pidfile
from ops.up.up_file import UpFile
from tests.faults.purchases import event_id, purchase
from tests.full_disk import fill, on_small_disk, seen_by, why_no_full_disk
from tests.killing import kill
from tests.ops.up.test_stack import PAIDUP, Up, until

pytestmark = [
    pytest.mark.servers,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="full disks are made in Linux' way"),
]

SIZE = "200m"
_numbers = count(1)
PARTS = ("redis", "postgres", "ingest", "worker", "console")
BIG = {"filler": "x" * 20_000}


class UpOnSmallDisk:
    """``paidup up`` on a disk of its own; ``folder`` is where we see what it sees."""

    def __init__(self, up: Up, *, filled: bool = False) -> None:
        up.folder.mkdir()
        self._output = list[str]()
        self.child = subprocess.Popen(
            on_small_disk(up.folder, SIZE, [*PAIDUP, "up"], filled=filled),
            env=up.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.folder = seen_by(self.child.pid, up.folder)
        self._reader = threading.Thread(target=self._read, name="output of up")
        self._reader.start()

    def until_said(self, words: str) -> None:
        """Wait for words in its output."""
        until(lambda: words in self.said or self.child.poll() is not None, seconds=180)
        assert self.child.poll() is None, self.said

    @property
    def said(self) -> str:
        """The output so far."""
        return "".join(self._output)

    def file(self) -> UpFile:
        """Return the content of ``up.json``."""
        found = up_file.read(self.folder)
        assert found, self.said
        return found

    def is_taken(self, name: str) -> bool:
        """Deliver a purchase once; return True if it is acknowledged."""
        found = self.file()
        client = DeliveryClient(Endpoint.at(found.webhook_url), found.webhook_secret)
        try:
            return client.post(purchase(name, **BIG)).taken
        finally:
            client.close()

    def is_settled(self, name: str) -> bool:
        """Return True if PostgreSQL has the event."""
        query = "SELECT count(*) FROM stripe_events WHERE id = %s"
        try:
            with psycopg.connect(self.file().database_url, connect_timeout=3) as connection:
                return connection.execute(query, [event_id(name)]).fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    def running(self) -> set[str]:
        """Return the names of the parts that run."""
        return {
            each.stem
            for each in (self.folder / "run").glob("*.pid")
            if each.stem in PARTS and pidfile.is_held(each)
        }

    def end(self) -> int:
        """Ask it to stop, and return its exit code."""
        self.child.send_signal(signal.SIGTERM)
        code = self.child.wait(120)
        self._reader.join()
        return code

    def kill(self) -> None:
        """End it, whatever state it is in."""
        kill(self.child.pid)
        self.child.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self.child.stdout
        with self.child.stdout as output:
            self._output.extend(iter(output.readline, ""))


@pytest.fixture
def up(servers_folder: Path, redis_binary: Path) -> Up:
    if why := why_no_full_disk():
        pytest.skip(why)
    if os.getuid() != 0:
        pytest.skip("only root sees the disk that another process has mounted")
    return Up(servers_folder / f"up-on-small-disk-{next(_numbers)}", redis_binary)


@contextmanager
def on_disk(up: Up, *, filled: bool) -> Iterator[UpOnSmallDisk]:
    small = UpOnSmallDisk(up, filled=filled)
    try:
        yield small
    finally:
        if small.child.poll() is None:
            small.kill()


def test_up_outlives_a_full_disk_and_goes_on_with_the_room(up: Up) -> None:
    with on_disk(up, filled=False) as small:
        small.until_said("Ctrl-C")
        assert small.is_taken("before")
        until(lambda: small.is_settled("before"))
        filling = fill(small.folder)
        numbers = iter(range(100_000))
        # Redis ends when it cannot write, PostgreSQL when its log has no room.
        until(lambda: not small.is_taken(f"full{next(numbers)}") and _ended(small, "redis"))
        for part in ("worker", "ingest", "postgres"):
            kill(small.file().pids[part])
        until(lambda: small.said.count("will be restarted") >= 4)
        small.until_said("no room")

        filling.unlink()

        until(lambda: small.running() == set(PARTS), seconds=180)
        until(lambda: small.is_taken("after"))
        until(lambda: small.is_settled("after"))
        assert small.is_settled("before")
        assert small.end() == 0, small.said
    assert "Traceback" not in small.said
    assert small.said.count("no room") == 1, small.said
    assert small.said.count("there is room again") == 1, small.said


def test_up_that_is_started_on_a_full_disk_waits_for_room(up: Up) -> None:
    with on_disk(up, filled=True) as small:
        small.until_said("no room")

        (small.folder / "filling").unlink()

        small.until_said("Ctrl-C")
        until(lambda: small.is_taken("first"))
        until(lambda: small.is_settled("first"))
        assert small.end() == 0, small.said
    assert "Traceback" not in small.said


def test_up_whose_output_has_no_room_runs(up: Up) -> None:
    with Path("/dev/full").open("w") as full:
        child = subprocess.Popen([*PAIDUP, "up"], env=up.environ, stdout=full, stderr=full)
        try:
            until(lambda: up_file.read(up.folder) is not None or child.poll() is not None)
            assert child.poll() is None
            found = up_file.read(up.folder)
            assert found
            kill(found.pids["console"])
            until(lambda: _console_of(up_file.read(up.folder)) not in {0, _console_of(found)})
            assert child.poll() is None
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(120)


def _console_of(found: UpFile | None) -> int:
    return found.pids.get("console", 0) if found else 0


def _ended(small: UpOnSmallDisk, part: str) -> bool:
    return part not in small.running()
