"""Ports on loopback outside the ranges of outgoing connections."""

import random
import socket
from contextlib import closing

LOOPBACK = "127.0.0.1"
# Below the ranges that Linux and macOS use for outgoing connections: a client's connection must not
# take a port that is free for a second during a restart.
_FIRST, _LAST = 20_000, 32_000
_TRIES = 200


def free_port() -> int:
    """Return a port on loopback that is free and that no outgoing connection will get.

    Raises:
        OSError: if no port in the range is free.
    """
    for _ in range(_TRIES):
        port = random.randrange(_FIRST, _LAST)  # noqa: S311 - a port is no secret
        if is_free(port):
            return port
    reason = f"no free port between {_FIRST} and {_LAST} on {LOOPBACK}"
    raise OSError(reason)


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Return True if a server could listen on the port now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
