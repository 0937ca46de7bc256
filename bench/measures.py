"""Measure the figures, one function each; every function counts real effects."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import psycopg
import redis

from bench import load
from bench.machine import SECRET
from bench.peers import HOST, Peer
from bench.stub import JsonObject
from ops.up.stack import Stack
from runtime.inbox.inbox import Inbox

CONNECTIONS: Final = 32
WARMING: Final = 10
"""The fraction that is sent before the measurement starts is one in so many."""

_TRIES: Final = 5
_PATIENCE_SECONDS: Final = 600.0
_LOOK_SECONDS: Final = 0.02
_LAG: Final = (
    "SELECT percentile_disc(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY"
    " extract(epoch FROM pg_xact_commit_timestamp(xmin) - received_at)::float * 1000)"
    " FROM stripe_events WHERE received_at >= %s"
)


class NotTaken(Exception):
    """A server refused events, so the measurement is void."""

    def __init__(self, statuses: JsonObject) -> None:
        super().__init__(f"not every event was taken: {statuses}")


def acknowledged(
    peer: Peer, events: Sequence[bytes], *, rate: float | None = None
) -> load.LoadAnswers:
    """Deliver signed events and return the answers.

    Raises:
        NotTaken: some of them were refused.
    """
    now = int(time.time())
    requests = [load.request(peer.path, body, SECRET, now) for body in events]
    answers = load.run(HOST, peer.port, requests, connections=CONNECTIONS, rate=rate)
    if any(status // 100 != 2 for status in answers.statuses):  # noqa: PLR2004 - success
        raise NotTaken({str(status): times for status, times in answers.statuses.items()})
    return answers


def taken(peer: Peer, events: Sequence[bytes]) -> None:
    """Send until every event is accepted, as Stripe does.

    An endpoint refuses for a moment when a flush takes too long, and answers duplicates at once.

    Raises:
        NotTaken: some were refused again and again.
    """
    for _ in range(_TRIES - 1):
        with suppress(NotTaken):
            acknowledged(peer, events)
            return
    acknowledged(peer, events)


def ingest_of(running: Stack) -> Peer:
    """Return Paidup's endpoint."""
    return Peer(port=running.settings.ingest_bind.port, path=running.settings.webhook_path)


def inbox_of(running: Stack) -> Inbox:
    """Return Paidup's inbox."""
    return Inbox(redis.Redis.from_url(running.redis_url))


def end_to_end(running: Stack, events: Sequence[bytes]) -> float:
    """Return events per second, after a tenth of them has warmed processes and caches."""
    return [flowed(running, part) for part in parts(events)][-1]


def parts(events: Sequence[bytes]) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """Return the events that only warm up, and those that are measured."""
    warming = len(events) // WARMING
    return events[:warming], events[warming:]


def flowed(running: Stack, events: Sequence[bytes]) -> float:
    """Return events per second, from the first request until the last is finished."""
    inbox = inbox_of(running)
    return _until(
        lambda: inbox.backlog().events == 0, lambda: acknowledged(ingest_of(running), events)
    )


def peers_end_to_end(peer: Peer, events: Sequence[bytes]) -> float:
    """Return the same for a peer: until its last row is committed, warmed up as Paidup is."""
    return [peers_flowed(peer, part) for part in parts(events)][-1]


def peers_flowed(peer: Peer, events: Sequence[bytes]) -> float:
    """Return events per second, from the first request until the last row is committed."""
    if not peer.table:
        return acknowledged(peer, events).rate
    query = f"SELECT count(*) FROM {peer.table}".encode()  # noqa: S608 - fixed table names
    with psycopg.connect(peer.database_url, autocommit=True) as connection:

        def rows() -> int:
            row = connection.execute(query).fetchone()
            return int(row[0]) if row else 0

        wanted = rows() + len(events)
        return _until(lambda: rows() >= wanted, lambda: acknowledged(peer, events))


def _until(is_done: Callable[[], bool], send: Callable[[], load.LoadAnswers]) -> float:
    started = time.perf_counter()
    answers = send()
    # Signing and composing requests must not count for any candidate.
    sending_began = time.perf_counter() - answers.seconds
    wait(is_done)
    return len(answers.latencies) / (time.perf_counter() - max(started, sending_began))


def lag(
    running: Stack, events: Sequence[bytes], rate: float
) -> tuple[load.LoadAnswers, list[float]]:
    """Return the answers at a rate, and the median and 99th percentile in ms until COMMIT."""
    inbox = inbox_of(running)
    with psycopg.connect(running.database_url) as connection:
        row = connection.execute("SELECT now()").fetchone()
        answers = acknowledged(ingest_of(running), events, rate=rate)
        wait(lambda: inbox.backlog().events == 0)
        connection.rollback()
        found = connection.execute(_LAG, row).fetchone()
    return answers, list(found[0]) if found else []


def drained(running: Stack, events: Sequence[bytes]) -> float:
    """Return events per second from a full inbox, from its first settled tenth to its last."""
    inbox = inbox_of(running)
    taken(ingest_of(running), events)
    filled = inbox.backlog().events
    spawn(running)
    wait(lambda: inbox.backlog().events <= filled * 9 // 10)
    left, started = inbox.backlog().events, time.perf_counter()
    wait(lambda: inbox.backlog().events == 0)
    return left / (time.perf_counter() - started)


def caught_up(running: Stack, marks: Sequence[int]) -> Iterator[float]:
    """Yield the seconds from a worker's start until so many events have left the inbox."""
    inbox = inbox_of(running)
    waiting = inbox.backlog().events
    started = time.perf_counter()
    spawn(running)
    for mark in marks:
        wait(partial(_is_left, inbox, waiting - mark))
        yield time.perf_counter() - started


def _is_left(inbox: Inbox, most: int) -> bool:
    return inbox.backlog().events <= most


def spawn(running: Stack) -> None:
    """Start the stack's worker and do not wait."""
    if running.worker is None:
        message = "the stack has no worker"
        raise RuntimeError(message)
    running.worker.spawn()


def wait(reached: Callable[[], bool], seconds: float = _PATIENCE_SECONDS) -> None:
    """Wait for a condition, at most so many seconds.

    Raises:
        TimeoutError: it did not hold in time.
    """
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            message = "what was to be measured did not end"
            raise TimeoutError(message)
        time.sleep(_LOOK_SECONDS)
