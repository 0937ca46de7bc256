"""The last words of a session reach psycopg at any step of a transaction."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from ops.up.servers.ports import LOOPBACK
from runtime.database.engine import engine_for
from runtime.failures.classify import Failure, Infrastructure, classify

pytestmark = pytest.mark.servers


def fatal(sqlstate: str, words: str) -> bytes:
    """Return the protocol's message of an error that ends a session."""
    fields = f"SFATAL\0VFATAL\0C{sqlstate}\0M{words}\0\0".encode()
    return b"E" + struct.pack(">i", len(fields) + 4) + fields


_READY_BYTES = 6
"""``ReadyForQuery``, the last message of an answer: a letter, four bytes of length, the status."""
SERVER = fatal("57P01", "terminating connection due to administrator command")
POOLER = fatal("08P01", "server conn crashed?")

LAST_WORDS: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda _: b"",
    "the server's": lambda _: SERVER,
    "the pooler's": lambda _: POOLER,
    "both": lambda _: SERVER + POOLER,
    "after a part of the answer": lambda answer: answer[: -_READY_BYTES - 2] + POOLER,
    "before it is ready": lambda answer: answer[:-_READY_BYTES] + POOLER,
    "after the answer": lambda answer: answer + SERVER + POOLER,
}
"""What a client reads last, given the answer that the server had for it."""


class DyingSessions:
    """Passes questions and answers on; ends the session at a question that a test chose."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._left = 0
        self._last: Callable[[bytes], bytes] = LAST_WORDS["none"]
        threading.Thread(target=self._accept, name="dying sessions", daemon=True).start()

    def die_at(self, question: int, last: Callable[[bytes], bytes]) -> None:
        """End the session that sends the n-th question from now on."""
        self._last, self._left = last, question

    @property
    def died(self) -> bool:
        """True if the chosen question was asked."""
        return self._left <= 0

    def close(self) -> None:
        """Take no further connection."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, socket.create_connection((LOOPBACK, self._server)) as server:
                    self._pass_on(client, server)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        while question := client.recv(65_536):
            server.sendall(question)
            answer = _answer(server)
            self._left -= 1
            client.sendall(self._last(answer) if self._left == 0 else answer)
            if self._left == 0 or not answer:
                return


def _answer(server: socket.socket) -> bytes:
    """Return all that the server says until it waits for the client again."""
    answer = b""
    while (piece := server.recv(65_536)) and not _is_whole(answer := answer + piece):
        pass
    return answer if piece else b""


def _is_whole(answer: bytes) -> bool:
    at, kind = 0, b""
    while at + 5 <= len(answer):
        kind = answer[at : at + 1]
        at += 1 + struct.unpack_from(">i", answer, at + 1)[0]
    return at == len(answer) and kind in {b"Z", b"R"}


@contextmanager
def dying_sessions(database: str) -> Iterator[tuple[Engine, DyingSessions]]:
    """Yield an engine whose sessions a test can end, and what ends them."""
    port = urlsplit(database).port
    assert port is not None
    sessions = DyingSessions(port)
    url = database.replace(f":{port}/", f":{sessions.port}/") + "?sslmode=disable"
    engine = engine_for(url, application_name="test", pool_size=1)
    try:
        yield engine, sessions
    finally:
        engine.dispose()
        sessions.close()


def failure_of_a_transaction(engine: Engine) -> Failure | None:
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
    except DBAPIError as error:
        return classify(error)
    return None


@pytest.mark.parametrize("last", LAST_WORDS.values(), ids=LAST_WORDS)
def test_whatever_is_said_last_at_any_step_of_a_transaction_is_an_outage(
    database: str, last: Callable[[bytes], bytes]
) -> None:
    met = list[Failure | None]()
    with dying_sessions(database) as (engine, sessions):
        assert failure_of_a_transaction(engine) is None, "what a first connection asks is asked"
        for step in count(1):
            sessions.die_at(step, last)
            met.append(failure_of_a_transaction(engine))
            if not sessions.died:
                break

    assert len(met) > 4, "a ping, BEGIN, a statement, COMMIT"
    assert [each for each in met if not isinstance(each, Infrastructure | None)] == []
    assert met[-1] is None
