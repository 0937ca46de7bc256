from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from redis.exceptions import ResponseError

from runtime.inbox.lines import Lines
from tests.runtime.inbox.builders import Client

pytestmark = pytest.mark.servers


def _connections(client: Client) -> int:
    return int(client.info("stats")["total_connections_received"])


def test_one_command_after_another_goes_over_one_connection(client: Client) -> None:
    lines = Lines(client)
    before = _connections(client)

    answers = [lines.ask("ECHO", number) for number in range(5)]

    assert answers == [b"0", b"1", b"2", b"3", b"4"]
    assert _connections(client) == before + 1


def test_threads_that_ask_at_once_get_each_their_own_answer(client: Client) -> None:
    lines, start = Lines(client), Barrier(8)

    def own_answers(thread: int) -> bool:
        start.wait()
        return all(lines.ask("ECHO", f"{thread}:{n}") == b"%d:%d" % (thread, n) for n in range(200))

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(own_answers, range(8)))


def test_a_connection_that_the_server_closed_is_replaced_without_an_error(client: Client) -> None:
    lines = Lines(client)
    lines.ask("PING")
    client.client_kill_filter(_type="normal", skipme=True)

    assert lines.ask("ECHO", "after") == b"after"


def test_an_answer_nobody_waited_for_is_not_taken_for_the_next(client: Client) -> None:
    lines = Lines(client)
    own = lines.ask("CLIENT", "ID")
    # An error that comes between sending and reading leaves a connection so.
    line = lines._idle[0]
    line.send_command("ECHO", "stale")
    assert line.can_read(timeout=5)

    assert lines.ask("ECHO", "fresh") == b"fresh"
    assert lines.ask("CLIENT", "ID") != own


def test_a_refusal_of_the_server_is_raised_and_costs_no_connection(client: Client) -> None:
    lines = Lines(client)
    lines.ask("PING")
    before = _connections(client)

    with pytest.raises(ResponseError):
        lines.ask("NO-SUCH-COMMAND")

    assert lines.ask("PING") == b"PONG"
    assert _connections(client) == before


def test_connections_end_with_whoever_asked_over_them(client: Client) -> None:
    """Left to the garbage collector, a socket may be found before what would close it."""
    lines = Lines(client)
    lines.ask("PING")
    line = lines._idle[0]

    del lines

    assert not line.is_connected
