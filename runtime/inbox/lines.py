"""Connections that scripts run over, handed from thread to thread.

redis-py's pool does the same and measures each handing over, for metrics that nobody collects; that
was a tenth of what a delivery costs. Nothing else of a pool is missed: a connection that
failed has closed itself, and opens anew when something is sent.
"""

import weakref
from collections.abc import Iterable
from typing import Any

import redis
from redis.exceptions import ConnectionError as Disconnected


class Lines:
    """As many connections as threads ask at once; set up as those of the client are."""

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        self._idle: list[Any] = []
        # Closing the client closes its pool, and not these.
        weakref.finalize(self, _hang_up, self._idle)

    def ask(self, *command: str | bytes | float) -> Any:
        """The server's answer to one command, sent once; whatever the client would raise."""
        line = self._taken()
        try:
            line.send_command(*command)
            return line.read_response()
        finally:
            self._idle.append(line)

    def _taken(self) -> Any:
        try:
            line = self._idle.pop()
        except IndexError:
            return self._pool.connection_class(**self._pool.connection_kwargs)
        if line.is_connected and _spoilt(line):
            line.disconnect()
        return line


def _spoilt(line: Any) -> bool:
    """Whether the server hung up, or an answer lies there that nobody waited for."""
    try:
        return bool(line.can_read())
    except Disconnected:
        return True


def _hang_up(lines: Iterable[Any]) -> None:
    for line in lines:
        line.disconnect()
