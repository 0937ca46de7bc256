"""Slow clients that take the last open file of ingest are still closed, then and afterwards."""

import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.ingest.ingest_client import event
from tests.ingest.ingest_process import ServerProcess, serving
from tests.workers.waiting import until

pytestmark = [
    pytest.mark.servers,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a connection's traffic"),
]

OPEN_FILES = 96
CLOSED_SECONDS = 60.0
"""Clients are closed after 10 s; the rest is for a slow machine."""


def with_few_files(command: Sequence[str]) -> list[str]:
    return ["sh", "-c", f'ulimit -n {OPEN_FILES} && exec "$@"', "sh", *command]


@pytest.fixture
def ingest(redis_url: str, tmp_path: Path) -> Iterator[ServerProcess]:
    with serving(redis_url, tmp_path, with_few_files, PAIDUP_INGEST_PROCESSES="1") as served:
        yield served


def test_ingest_whose_open_files_slow_clients_used_up_recovers_and_stays_protected(
    ingest: ServerProcess,
) -> None:
    (server,) = ingest.server_processes()
    files = Path(f"/proc/{server}/fd")
    with ExitStack() as stack:
        slow = [stack.enter_context(ingest.half_sent()) for _ in range(OPEN_FILES)]
        until(lambda: len(list(files.iterdir())) >= OPEN_FILES, why="no open file is left")

        until(lambda: answered(ingest), seconds=CLOSED_SECONDS, why=f"it serves: {ingest.log()}")
        until(lambda: all(map(is_closed, slow)), seconds=CLOSED_SECONDS, why="all are closed")

    with ingest.half_sent() as later:
        until(lambda: is_closed(later), seconds=CLOSED_SECONDS, why="later ones are closed, too")
    assert ingest.server_processes() == [server]


def answered(ingest: ServerProcess) -> bool:
    with suppress(OSError):
        return ingest.deliver(event("evt_1")).status in {200, 202}
    return False


def is_closed(client: socket.socket) -> bool:
    client.settimeout(0.001)
    try:
        return client.recv(1000) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True
