import socket
from threading import Event, Thread

import pytest

from runtime.http.stalled_connections import (
    ConnectionReaper,
    ConnectionTraffic,
    close_stalled_connections,
)

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


@pytest.mark.servers
def test_the_connections_of_one_port_are_watched_and_no_others() -> None:
    stopped = Event()
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_server(("127.0.0.1", 0)) as elsewhere,
        socket.create_connection(listening.getsockname()) as stalled,
        socket.create_connection(elsewhere.getsockname()) as other,
    ):
        accepted = [listening.accept()[0], elsewhere.accept()[0]]
        arguments = (listening.getsockname()[1], stopped, ConnectionReaper(seconds=0.1))
        watch = Thread(target=close_stalled_connections, args=arguments)
        watch.start()
        try:
            stalled.settimeout(20)
            assert stalled.recv(1) == b""
        finally:
            stopped.set()
            watch.join()

        accepted[1].sendall(b"x")
        assert other.recv(1) == b"x"
        for connection in accepted:
            connection.close()
