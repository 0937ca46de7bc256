"""``paidup up`` while the disk under its folder is full, and after there is room again."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
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
PARTS = ("redis", "postgres", "ingest", "worker", "console")
BIG = {"filler": "x" * 20_000}


class UpOnSmallDisk:
    """``paidup up`` on a disk of its own; ``folder`` is where we see what it sees."""

    def __init__(self, up: Up) -> None:
        up.folder.mkdir()
        self._output = list[str]()
        self.child = subprocess.Popen(
            on_small_disk(up.folder, SIZE, [*PAIDUP, "up"]),
            env=up.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.folder = seen_by(self.child.pid, up.folder)
        self._reader = threading.Thread(target=self._read, name="output of up")
        self._reader.start()
        until(lambda: "Ctrl-C" in self.said or self.child.poll() is not None)
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
        self._output.extend(iter(self.child.stdout.readline, ""))


@pytest.fixture
def small(servers_folder: Path, redis_binary: Path) -> Iterator[UpOnSmallDisk]:
    if why := why_no_full_disk():
        pytest.skip(why)
    if os.getuid() != 0:
        pytest.skip("only root sees the disk that another process has mounted")
    small = UpOnSmallDisk(Up(servers_folder / "up-small-disk", redis_binary))
    yield small
    if small.child.poll() is None:
        small.kill()


def test_up_outlives_a_full_disk_and_goes_on_with_the_room(small: UpOnSmallDisk) -> None:
    assert small.is_taken("before")
    until(lambda: small.is_settled("before"))
    filling = fill(small.folder)
    numbers = iter(range(100_000))
    # Redis ends when it cannot write, PostgreSQL when its log has no room.
    until(lambda: not small.is_taken(f"full{next(numbers)}") and "redis" not in small.running())
    for part in ("worker", "ingest", "postgres"):
        kill(small.file().pids[part])
    until(lambda: small.said.count("will be restarted") >= 4 or small.child.poll() is not None)
    until(lambda: "no room" in small.said or small.child.poll() is not None)
    assert small.child.poll() is None, small.said

    filling.unlink()

    until(lambda: small.running() == set(PARTS) or small.child.poll() is not None, seconds=180)
    assert small.child.poll() is None, small.said
    until(lambda: small.is_taken("after"), seconds=120)
    until(lambda: small.is_settled("after"), seconds=120)
    assert small.is_settled("before")
    assert small.end() == 0, small.said
    assert "Traceback" not in small.said
    assert len(re.findall("no room", small.said)) == 1, small.said
    assert len(re.findall("there is room again", small.said)) == 1, small.said
