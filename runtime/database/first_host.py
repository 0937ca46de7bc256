"""Connect to the first server that accepts, where a URL names several.

libpq tries one host after another and waits up to ``connect_timeout`` for each. A frozen primary
accepts a connection and then says nothing, so after a failover each new connection would wait for
it although the new primary is the next host in the URL. Here the next host is tried as soon as one
has been silent for ``NEXT_HOST_SECONDS``, as RFC 8305 (Happy Eyeballs) does for addresses.
"""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from runtime.time_limits import NEXT_HOST_SECONDS


class Closable(Protocol):
    """A connection that was opened and can be closed."""

    def close(self) -> None:
        """Close it."""


C = TypeVar("C", bound=Closable)
Attempt = Callable[[], C]


def hosts_of(conninfo: str) -> list[str]:
    """Return the connection string once for each host that it names, in the order to try them.

    A host is a name, an address or the folder of a socket; libpq lists them with commas. With
    ``load_balance_hosts=random`` the order is random, as in libpq.

    Raises:
        psycopg.ProgrammingError: libpq cannot read the connection string.
    """
    params = conninfo_to_dict(conninfo)
    lists = {
        name: str(params[name]).split(",")
        for name in ("host", "hostaddr", "port")
        if params.get(name) is not None
    }
    count = max((len(values) for name, values in lists.items() if name != "port"), default=1)
    if count == 1 or any(len(values) not in {1, count} for values in lists.values()):
        return [conninfo]  # one host, or a mistake that libpq explains
    hosts = [
        make_conninfo("", **params | {name: vs[n % len(vs)] for name, vs in lists.items()})
        for n in range(count)
    ]
    if params.get("load_balance_hosts") == "random":
        random.shuffle(hosts)
    return hosts


def first_connection(attempts: Sequence[Attempt[C]]) -> C:
    """Return the connection of the attempt that succeeds first; the others are closed.

    An attempt begins once those before it failed or have been silent for ``NEXT_HOST_SECONDS``.

    Raises:
        psycopg.Error: every attempt failed; the message says how each did.
    """
    if len(attempts) == 1:
        return attempts[0]()
    # In threads, since libpq offers no wait for several connections.
    threads = ThreadPoolExecutor(len(attempts), thread_name_prefix="connect")
    begun: list[Future[C]] = []
    first: Future[C] | None = None
    try:
        for attempt in attempts:
            begun.append(threads.submit(attempt))
            is_last = len(begun) == len(attempts)
            first = _first_success(begun, None if is_last else NEXT_HOST_SECONDS)
            if first is not None:
                return first.result()
        raise _error_of([error for each in begun if (error := each.exception()) is not None])
    finally:
        threads.shutdown(wait=False)
        for each in begun:
            if each is not first:
                each.add_done_callback(_close)


def _first_success(begun: Sequence[Future[C]], seconds: float | None) -> Future[C] | None:
    """Return an attempt that succeeded, None once all failed or were silent for so long."""
    running = set(begun)
    while running:
        ended, running = wait(running, seconds, FIRST_COMPLETED)
        for each in ended:
            if each.exception() is None:
                return each
        if not ended:
            break
    return None


def _close(attempt: Future[C]) -> None:
    if attempt.exception() is None:
        attempt.result().close()


def _error_of(errors: Sequence[BaseException]) -> BaseException:
    last = errors[-1]
    if not isinstance(last, psycopg.Error):
        return last
    lines = "\n".join(f"- {error}" for error in errors)
    return type(last)(f"{last}\nEach host failed:\n{lines}", pgconn=last.pgconn)
