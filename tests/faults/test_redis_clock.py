"""The wall clock of a running Redis steps back by an hour."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ops.up.servers.redis_server import Redis
from tests.faults.fault_env import FaultSite, workers
from tests.workers.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

_SOURCE = Path(__file__).with_name("clockstep.c")


class SteppedRedis(Redis):
    """A Redis whose wall clock a test can move; its monotonic clock goes on."""

    def __init__(self, folder: Path, binary: Path) -> None:
        super().__init__(folder, binary=binary, maxmemory="256mb")
        self._step = folder / "clock-step"
        self._library = folder / "clockstep.so"

    def environ(self) -> Mapping[str, str]:
        """Return the environment with the library loaded before libc."""
        stepped = {"LD_PRELOAD": str(self._library), "CLOCK_STEP": str(self._step)}
        return {**super().environ(), **stepped}

    def prepare(self) -> None:
        """Compile the library; skip the test if there is no C compiler."""
        super().prepare()
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            pytest.skip("a clock that steps needs a C compiler (cc); there is none here")
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(self._library), str(_SOURCE)]
        subprocess.run([*command, "-ldl"], check=True, timeout=60)

    def seconds(self) -> int:
        """Return the server's time."""
        client = self.client()
        try:
            return int(client.time()[0])
        finally:
            client.close()

    def step(self, seconds: int) -> None:
        """Move the wall clock, and wait until the server tells the new time."""
        before = self.seconds()
        self._step.write_text(str(seconds))
        if abs(self.seconds() - before - seconds) > 60:
            pytest.skip("this server's clock cannot be moved: it was linked without libc's")


@pytest.fixture
def stepped_redis(
    servers_folder: Path, redis_binary: Path, tmp_path: Path
) -> Iterator[SteppedRedis]:
    """Yield a server whose clock can step."""
    server = SteppedRedis(servers_folder / tmp_path.name, redis_binary)
    server.start()
    yield server
    server.stop()


def test_t63_events_accepted_before_the_clock_steps_back_settle_within_seconds(
    database: str, stepped_redis: SteppedRedis, tmp_path: Path
) -> None:
    site = FaultSite(database, stepped_redis.url, tmp_path / "worker.log")
    site.install_plans()
    ids = site.take_quietly(range(50))
    assert site.inbox.lead("a dead supervisor", 5)
    stepped_redis.step(-3600)
    with workers(site):
        until(lambda: site.is_settled(ids), seconds=60, why=f"all settle; see {site.log}")
        assert "clock stepped back" in site.log.read_text()
        site.check_result()

        more = site.take(range(100, 150))
        until(lambda: site.is_settled(more), seconds=60, why=f"later ones too; see {site.log}")
        site.check_result()
    site.close()
