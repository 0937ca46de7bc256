"""Limit the tries to log in: of each source address, and of all strangers together.

The counts are kept in the process. A console is one process, so they are counted in one place; each
further console allows as much again. That is enough: a token has 256 random bits, so the limits
save work and keep the log short. PostgreSQL would be asked, and written to, by every stranger.
A source from which a person has logged in has its own limit only, so that strangers cannot keep
the person out.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_network
from typing import Final, TypeVar

from ops.console.rate_limit import Bucket
from runtime.http.client_address import Client

TRIES_OF_A_SOURCE: Final = 10
TRIES_OF_ALL: Final = 120
REFILL_SECONDS: Final = 60
"""After so long without a try, the tries are there again."""
SOURCES: Final = 4096
"""Sources that are remembered; the one that tried longest ago makes room."""
_PREFIX_OF_ONE_USER: Final = 64

Value = TypeVar("Value")


def source_of(client: Client) -> str:
    """Return what counts as one source: an IPv4 address, or the network of one IPv6 user."""
    if client is None:
        return "unknown"
    if isinstance(client, IPv6Address):
        return str(ip_network((client, _PREFIX_OF_ONE_USER), strict=False))
    return str(client)


class LoginLimits:
    """The tries that are left, shared by all threads of a process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._turn = threading.Lock()
        self._all = self._bucket(TRIES_OF_ALL)
        self._sources: OrderedDict[str, Bucket] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()

    def take(self, source: str) -> float:
        """Use up a try; return 0 if there was one, else the seconds until there is one."""
        with self._turn:
            bucket = self._sources.get(source) or self._bucket(TRIES_OF_A_SOURCE)
            _remember(self._sources, source, bucket)
            return bucket.take() or (0.0 if source in self._known else self._all.take())

    def succeeded(self, source: str) -> None:
        """Give a source from which a person logged in all of its tries back."""
        with self._turn:
            self._sources.pop(source, None)
            _remember(self._known, source, None)

    def _bucket(self, tries: int) -> Bucket:
        return Bucket(tries / REFILL_SECONDS, size=tries, clock=self._clock)


def _remember(sources: OrderedDict[str, Value], source: str, value: Value) -> None:
    sources[source] = value
    sources.move_to_end(source)
    if len(sources) > SOURCES:
        sources.popitem(last=False)
