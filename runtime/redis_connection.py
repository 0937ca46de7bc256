"""Close a connection to Redis whose server cannot take writes, so that the next one finds another.

After a failover the old primary may live on as a replica. A connection to it is healthy, but
every write on it fails. All clients use these connections: the inbox's and Celery's.
"""

from typing import Any, Final

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

_TYPES: Final = (ReadOnlyError, MasterDownError, BusyLoadingError, ClusterDownError)
_CODES: Final = ("MISCONF", "NOREPLICAS", "UNBLOCKED")
"""Codes for which redis-py has no type. ``UNBLOCKED`` ends a BRPOP on a primary that is demoted."""


class CannotWrite(RedisConnectionError):
    """The server is a replica, still loading, or cannot store what it is given.

    It is a connection error, because only another connection may help.
    """


def cannot_write(error: RedisError) -> bool:
    """Return True if a reply says that no write can succeed on this server now."""
    return isinstance(error, _TYPES) or str(error).startswith(_CODES)


class Generation:
    """A number that the connections of a client share; it grows when a server cannot write.

    Connections of an older generation reconnect before their next command, because they most
    probably lead to the same server.
    """

    def __init__(self) -> None:
        self.number = 0

    def end(self) -> None:
        """Make all connections reconnect."""
        self.number += 1


class _FollowsPrimary:
    """Mixed into a connection class of redis-py, whose methods it extends."""

    def __init__(self, *args: Any, generation: Generation | None = None, **kwargs: Any) -> None:
        self._generation = generation or Generation()
        self._connected_in = self._generation.number
        super().__init__(*args, **kwargs)

    def connect(self) -> None:
        if self._connected_in != self._generation.number:
            self.disconnect()  # type: ignore[attr-defined]
        super().connect()  # type: ignore[misc]

    def _connect(self) -> Any:
        self._connected_in = self._generation.number
        return super()._connect()  # type: ignore[misc]

    def read_response(self, *args: Any, disconnect_on_error: bool = True, **kwargs: Any) -> Any:
        # The default of redis-py's class for Sentinel is False. After a time-out the connection
        # would stay open, and give the late answer to the next command.
        try:
            return super().read_response(  # type: ignore[misc]
                *args, disconnect_on_error=disconnect_on_error, **kwargs
            )
        except (ResponseError, BusyLoadingError) as error:
            if not cannot_write(error):
                raise
            self._generation.end()
            self.disconnect()  # type: ignore[attr-defined]
            raise CannotWrite(f"{error} ({type(error).__name__})") from error


class PrimaryConnection(_FollowsPrimary, Connection):
    """A connection by TCP."""


class PrimarySSLConnection(_FollowsPrimary, SSLConnection):
    """A connection by TLS."""


class PrimaryUnixConnection(_FollowsPrimary, UnixDomainSocketConnection):
    """A connection by a socket file."""


class PrimarySentinelConnection(_FollowsPrimary, SentinelManagedConnection):  # type: ignore[misc]  # its default differs
    """A connection to the address that a sentinel names, asked each time."""


class PrimarySentinelSSLConnection(_FollowsPrimary, SentinelManagedSSLConnection):  # type: ignore[misc]
    """The same by TLS; the sentinels themselves are asked without."""
