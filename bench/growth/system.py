"""The processor time of what happens once: of the process that drains, and of its backends.

Events go through ingest, Redis and Celery to the one pool child of a worker. Its time and that of
its PostgreSQL backends are read from their own clocks, since the kernel's usual figures count in
hundredths of a second.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import psycopg
from sqlalchemy import Engine, text

from bench import costs, load, measures
from bench.machine import SECRET
from bench.peers import HOST
from ops.up.stack import Stack

_CHILD: Final = "paidup-worker-"
"""The beginning of the name under which a pool child connects; its process id follows."""

_QUIET_SECONDS: Final = 0.02
_CHILDREN: Final = (
    "SELECT substr(application_name, %(length)s + 1)::int, pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND starts_with(application_name, %(name)s)"
)


class LoneCost(NamedTuple):
    """Milliseconds of processor time."""

    worker: float
    postgresql: float

    @property
    def together(self) -> float:
        """The time of both."""
        return self.worker + self.postgresql

    def share(self, count: int) -> "LoneCost":
        """Return the cost of one of so many."""
        return LoneCost(self.worker / count, self.postgresql / count)


class DrainingSystem:
    """A running stack of one worker process, of which each call measures a cost."""

    def __init__(self, running: Stack, seconds: float) -> None:
        """Bound each wait by so many seconds."""
        self._endpoint = measures.ingest_of(running)
        self._inbox = measures.inbox_of(running)
        self._database_url = running.database_url
        self._seconds = seconds

    def one_by_one(self, bodies: Sequence[bytes]) -> LoneCost:
        """Return the cost of an event, if each is sent after the one before was applied.

        Raises:
            TimeoutError: one of them was not applied in time.
        """
        return self._cost(partial(self._send_each, bodies)).share(len(bodies))

    def at_once(self, bodies: Sequence[bytes]) -> LoneCost:
        """Return the cost of an event, if all of them are sent at once.

        Raises:
            TimeoutError: they were not applied in time.
        """
        return self._cost(partial(self._send_all, bodies)).share(len(bodies))

    def _send_each(self, bodies: Sequence[bytes]) -> None:
        for body in bodies:
            request = load.request(self._endpoint.path, body, SECRET, int(time.time()))
            load.run(HOST, self._endpoint.port, [request], connections=1)
            measures.wait(self._is_empty, self._seconds)

    def _send_all(self, bodies: Sequence[bytes]) -> None:
        measures.taken(self._endpoint, bodies)
        measures.wait(self._is_empty, self._seconds)

    def _is_empty(self) -> bool:
        return self._inbox.backlog().events == 0

    def _cost(self, work: Callable[[], None]) -> LoneCost:
        children = pool_children(self._database_url)
        before = _times(children)
        work()
        # An event is out of the inbox before its process has told of it.
        while (now := _times(children)) != _times_later(children):
            continue
        return LoneCost(
            *(1000 * (later - earlier) for earlier, later in zip(before, now, strict=True))
        )


def pool_children(database_url: str) -> Mapping[int, Sequence[int]]:
    """Return the processes that drain into a database, each with its backends there."""
    values = {"name": _CHILD, "length": len(_CHILD)}
    with psycopg.connect(database_url) as connection:
        found: dict[int, list[int]] = {}
        for child, backend in connection.execute(_CHILDREN, values):
            found.setdefault(child, []).append(backend)
    return found


def _times(children: Mapping[int, Sequence[int]]) -> tuple[float, float]:
    backends = [backend for each in children.values() for backend in each]
    return costs.exact_seconds(children), costs.exact_seconds(backends)


def _times_later(children: Mapping[int, Sequence[int]]) -> tuple[float, float]:
    time.sleep(_QUIET_SECONDS)
    return _times(children)


def cost_here(engine: Engine, work: Callable[[], object]) -> LoneCost:
    """Return the cost of work in this process on the one open connection of an engine."""
    with engine.connect() as connection:
        backend = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    pids = ([os.getpid()], [backend])
    before = [costs.exact_seconds(each) for each in pids]
    work()
    now = [costs.exact_seconds(each) for each in pids]
    return LoneCost(*(1000 * (later - earlier) for earlier, later in zip(before, now, strict=True)))
