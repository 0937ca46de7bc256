"""Wait until replicas have a write, before it is acknowledged (``PAIDUP_REDIS_REPLICAS``).

``WAITAOF`` (Redis 7.2, every Valkey from 7.2 on) waits until they have it on disk. An older server
has only ``WAIT``, which proves that they have it in memory.
"""

from typing import Any, Final

from redis.exceptions import RedisError, ResponseError

from runtime.time_limits import REPLICA_WAIT_SECONDS

_ON_DISK: Final = "WAITAOF"
_IN_MEMORY: Final = "WAIT"

Argument = str | bytes | int | float
"""A part of a command."""


class TooFewReplicas(RedisError):
    """Too few replicas have a write. It stays on the primary, and must not be acknowledged."""

    def __init__(self, confirmed: int, wanted: int) -> None:
        self.confirmed = confirmed
        super().__init__(
            f"{confirmed} of {wanted} replicas have the last write: start or reconnect the others,"
            " or lower PAIDUP_REDIS_REPLICAS"
        )


class ReplicaWait:
    """The commands that wait for ``wanted`` replicas, and the reading of their answers.

    ``WAITAOF`` alone takes a second: its request for an acknowledgement reaches a replica together
    with the write, and is answered before that is flushed; the next answer comes by the clock. So
    ``WAIT`` goes first, and ``WAITAOF`` asks again when the write has been flushed.
    """

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted

    def commands(self) -> list[tuple[Argument, ...]]:
        """Return the commands to send right after the write."""
        milliseconds = round(REPLICA_WAIT_SECONDS * 1000)
        return [(_IN_MEMORY, self.wanted, milliseconds), (_ON_DISK, 1, self.wanted, milliseconds)]

    def read(self, connection: Any) -> int:
        """Read the answers, and return how many replicas have the write.

        Raises:
            TooFewReplicas: fewer than wanted, or the primary itself has it not on disk.
        """
        in_memory = int(connection.read_response())
        try:
            on_primary, confirmed = connection.read_response()
        except ResponseError as error:
            if "unknown command" not in str(error):
                raise
            on_primary, confirmed = True, in_memory
        if confirmed < self.wanted or not on_primary:
            raise TooFewReplicas(confirmed, self.wanted)
        return int(confirmed)
