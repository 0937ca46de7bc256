import os
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from runtime.http.stalled_connections import (
    ConnectionReaper,
    ConnectionTraffic,
    StalledConnections,
)
from tests.workers.waiting import until

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells traffic")

PEER = ("203.0.113.1", 4711)


def owing(sent_bytes: int = 0) -> ConnectionTraffic:
    """Build a connection on which the client sent last, a moment ago."""
    return ConnectionTraffic(sent_ago=30, received_ago=0.1, sent_bytes=sent_bytes)


def idle(seconds: float) -> ConnectionTraffic:
    """Build a connection on which the server sent last."""
    return ConnectionTraffic(sent_ago=seconds, received_ago=seconds, sent_bytes=0)


def test_an_unfinished_request_is_overdue_after_its_time() -> None:
    reaper = ConnectionReaper(seconds=10)

    assert reaper.overdue({PEER: owing()}, now=0) == frozenset()
    assert reaper.overdue({PEER: owing()}, now=10) == frozenset()
    assert reaper.overdue({PEER: owing()}, now=11) == {PEER}


def test_a_longer_idle_time_does_not_extend_that_of_requests() -> None:
    reaper = ConnectionReaper(seconds=10, idle_seconds=60)

    reaper.overdue({PEER: owing()}, now=0)

    assert reaper.overdue({PEER: owing()}, now=11) == {PEER}
    assert reaper.overdue({PEER: idle(59)}, now=12) == frozenset()
    assert reaper.overdue({PEER: idle(61)}, now=13) == {PEER}


def test_a_connection_may_be_idle_as_long() -> None:
    reaper = ConnectionReaper(seconds=10)

    assert reaper.overdue({PEER: idle(10)}, now=0) == frozenset()
    assert reaper.overdue({PEER: idle(11)}, now=1) == {PEER}


def test_each_request_of_a_connection_has_its_own_time() -> None:
    reaper = ConnectionReaper(seconds=10)

    reaper.overdue({PEER: owing(sent_bytes=0)}, now=0)
    reaper.overdue({PEER: owing(sent_bytes=200)}, now=9)

    assert reaper.overdue({PEER: owing(sent_bytes=200)}, now=18) == frozenset()
    assert reaper.overdue({PEER: owing(sent_bytes=200)}, now=20) == {PEER}


def test_a_connection_that_ended_is_forgotten() -> None:
    reaper = ConnectionReaper(seconds=10)

    reaper.overdue({PEER: owing()}, now=0)
    reaper.overdue({}, now=5)

    assert reaper.overdue({PEER: owing()}, now=11) == frozenset()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def closing(listening: socket.socket, seconds: float = 0.1) -> StalledConnections:
    """Return the closer with a limit that a test can wait for: production's is 9 s."""
    return StalledConnections(listening.getsockname()[1], ConnectionReaper(seconds=seconds))


def is_closed(client: socket.socket) -> bool:
    client.settimeout(0.01)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False


@pytest.mark.servers
@on_linux
def test_the_connections_of_one_port_are_watched_and_no_others(listening: socket.socket) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as elsewhere,
        socket.create_connection(listening.getsockname()) as stalled,
        socket.create_connection(elsewhere.getsockname()) as other,
    ):
        accepted = [listening.accept()[0], elsewhere.accept()[0]]
        closes = closing(listening)

        until(lambda: is_closed(stalled), meanwhile=closes.close)

        accepted[1].sendall(b"x")
        other.settimeout(20)
        assert other.recv(1) == b"x"
        for connection in accepted:
            connection.close()
        closes.end()


@pytest.mark.servers
@on_linux
def test_slow_clients_that_took_the_last_descriptor_are_closed_while_none_is_left(
    listening: socket.socket, no_descriptor_left: Callable[[], None]
) -> None:
    closes = closing(listening)
    with socket.create_connection(listening.getsockname()) as stalled:
        accepted = listening.accept()[0]
        no_descriptor_left()
        with pytest.raises(OSError, match="Too many open files"):
            os.dup(0)

        until(lambda: is_closed(stalled), meanwhile=closes.close)

        accepted.close()
    closes.end()


@pytest.mark.servers
@on_linux
def test_looking_through_connections_holds_none_of_them_open(listening: socket.socket) -> None:
    closes = closing(listening, seconds=60)
    with socket.create_connection(listening.getsockname()) as client:
        accepted = listening.accept()[0]
        closes.close()

        accepted.close()

        until(lambda: is_closed(client), seconds=20)
    closes.end()


@pytest.fixture
def no_descriptor_left() -> Iterator[Callable[[], None]]:
    """Yield a function that uses up all descriptors of this process, until the test ends."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []

    def use_up() -> None:
        highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, before[1]))
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))

    yield use_up
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
    for descriptor in taken:
        os.close(descriptor)
