"""What is measured, one function for each figure; every one of them counts real effects."""

import time
from collections.abc import Callable, Sequence

import redis

from bench import load
from bench.processes import HOST, SECRET, counting, usual_database
from billing.envelope import parse
from ops.samples.shapes import Shape
from ops.samples.traffic import Traffic
from ops.up import WEBHOOK_PATH, Stack
from runtime.inbox.inbox import Inbox

CONNECTIONS = 32
_MIX = ("first_paid", "renewal", "onetime", "refund_full", "upgrade")
_PATIENCE_SECONDS = 60.0


def bodies(count: int, seed: str) -> list[bytes]:
    """Distinct events of distinct customers, 2 to 6 kB, old and new shapes."""
    now = int(time.time())
    shapes = (Shape.OLD, Shape.NEW)
    plan = Traffic(scenarios=_MIX, shapes=shapes, seed=seed, now=now, count=count)
    found: list[bytes] = []
    for event in plan.events():
        found.append(event.body)
        if len(found) == count:
            break
    return found


def acknowledged(port: int, events: Sequence[bytes], *, rate: float | None = None) -> load.Answers:
    """Signed deliveries answered by whoever listens on the port."""
    return load.run(HOST, port, _signed(events), connections=CONNECTIONS, rate=rate)


def end_to_end(running: Stack, events: Sequence[bytes]) -> float:
    """Events a second from the first request until the last row is committed."""
    port = running.settings.ingest_bind.port
    with counting(running.database_url, "stripe_events") as count:
        return _until_rows(port, events, count)


def usual_end_to_end(running: Stack, port: int, events: Sequence[bytes]) -> float:
    """The same for the usual handler."""
    with counting(usual_database(running), "processed_events") as count:
        return _until_rows(port, events, count)


def _until_rows(port: int, events: Sequence[bytes], count: Callable[[], int]) -> float:
    requests, wanted = _signed(events), count() + len(events)
    started = time.perf_counter()
    load.run(HOST, port, requests, connections=CONNECTIONS)
    _wait(lambda: count() >= wanted)
    return len(events) / (time.perf_counter() - started)


def _signed(events: Sequence[bytes]) -> list[bytes]:
    now = int(time.time())
    return [load.request(WEBHOOK_PATH, body, SECRET, now) for body in events]


def drained(running: Stack, events: Sequence[bytes]) -> float:
    """Events a second out of a filled inbox, from its first settled tenth to its last."""
    worker = running.worker
    if worker is None:
        message = "the stack has no worker"
        raise RuntimeError(message)
    worker.stop()
    client = redis.Redis.from_url(running.redis_url)
    inbox = Inbox(client)
    for body in events:
        inbox.accept(parse(body))
    tenth = len(events) // 10
    worker.spawn()
    _wait(lambda: inbox.backlog().events <= len(events) - tenth)
    left, started = inbox.backlog().events, time.perf_counter()
    _wait(lambda: inbox.backlog().events == 0)
    return left / (time.perf_counter() - started)


def _wait(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            message = "what was to be measured did not end"
            raise TimeoutError(message)
        time.sleep(0.02)
