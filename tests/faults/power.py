"""Simulate a power cut: remove the bytes of a file that were not flushed.

Killing a server keeps the page cache, so a kill shows nothing about power. Here a library between
the server and the kernel logs the length of each file at its last flush. After a kill each file is
cut to that length. Pages that the kernel wrote by itself do not count.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from ops.up.servers.redis_server import Redis

_SOURCE = Path(__file__).with_name("fsyncspy.c")


def spy(folder: Path) -> Path:
    """Return the compiled library; skip the test if there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("a power cut needs a C compiler (cc) to build the spy; there is none here")
    library = folder / "fsyncspy.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return library


class SpiedRedis(Redis):
    """A Redis whose flushes are logged, with ``appendfsync`` always or every second."""

    def __init__(self, folder: Path, binary: Path, library: Path, appendfsync: str) -> None:
        super().__init__(folder, binary=binary, maxmemory="256mb")
        self._library = library
        self._appendfsync = appendfsync
        self.flushes = folder / "flushes.log"

    def environ(self) -> Mapping[str, str]:
        """Return the environment with the library loaded before libc."""
        spied = {"LD_PRELOAD": str(self._library), "FSYNC_LOG": str(self.flushes)}
        return {**super().environ(), **spied}

    def prepare(self) -> None:
        """Write the production configuration with the tested ``appendfsync``."""
        super().prepare()
        config = self.folder / "redis.conf"
        text = config.read_text().replace("appendfsync always", f"appendfsync {self._appendfsync}")
        config.write_text(text)


def cut_power(server: SpiedRedis) -> None:
    """Kill the server and cut its append-only files to their flushed lengths."""
    server.kill()
    flushed: dict[Path, int] = {}
    for line in server.flushes.read_text().splitlines():
        length, _, path = line.partition(" ")
        flushed[Path(path)] = int(length)
    assert flushed, "the library logged no flush"
    for file in (server.folder / "appendonlydir").glob("*.aof"):
        if file.stat().st_size > (kept := flushed.get(file, 0)):
            os.truncate(file, kept)
