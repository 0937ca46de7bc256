"""Ports on loopback outside the ranges of outgoing connections."""

import os
import random
import socket
from collections import deque
from contextlib import closing

LOOPBACK = "127.0.0.1"
# Below the ranges that Linux and macOS use for outgoing connections: a client's connection must not
# take a port that is free for a second during a restart.
_FIRST, _LAST = 20_000, 32_000
_TRIES = 200
# A server binds its port seconds after it was chosen, and again after each restart. Until then the
# process that chose it keeps a bound socket that does not listen, so that no other process chooses
# the same port. The newest are enough; each costs a file descriptor.
_MAX_RESERVED = 200
_reserved: deque[int] = deque()
"""File descriptors, which the process closes by ending."""


def free_port() -> int:
    """Return a port on loopback that is free and that no outgoing connection will get.

    This process reserves the port while it runs: no other call returns it, here or in another
    process, and a server that binds with SO_REUSEADDR, as servers do, can still use it.

    Raises:
        OSError: if no port in the range is free.
    """
    for _ in range(_TRIES):
        port = random.randrange(_FIRST, _LAST)  # noqa: S311 - a port is no secret
        if _reserve(port):
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


def _reserve(port: int) -> bool:
    # Bound without SO_REUSEADDR, so that another reservation or a server in between refuses it.
    holder = socket.socket()
    try:
        holder.bind((LOOPBACK, port))
    except OSError:
        holder.close()
        return False
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_free(port):
        _reserved.append(holder.detach())
    else:  # This system does not let a server bind beside the reservation.
        holder.close()
    while len(_reserved) > _MAX_RESERVED:
        os.close(_reserved.popleft())
    return True
