"""Measure what an event takes of Redis while it waits, by the size of its body."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Final

import redis

from bench import mixes
from bench.machine import BenchMachine
from bench.simulate.measure import accept_words
from runtime import event_body
from runtime.inbox.inbox import Inbox
from runtime.inbox.room import RoomMeasure

SIZES: Final = (2000, 4000, 8000, 16_000)
"""Bytes of a body. Those of the mix, which are longer, are left out."""

FULL_EVENTS: Final = 3000
"""So few that Redis does not rewrite its file meanwhile, which would falsify its size."""
_AT_ONCE: Final = 32
_NO_LIMIT: Final = 10**9
_FIELD: Final = len(b',"filler":""')


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingSize:
    """Bytes of Redis for one waiting event, and the seconds after which Redis has it again."""

    body_bytes: int
    memory_bytes: float
    """By the memory in use."""
    reported_bytes: int
    """By samples, as ``billing_inbox_bytes_per_event`` shows it."""
    file_bytes: float
    """In the append-only file."""
    load_seconds: float
    """Of a restart, which reads the file, for each event."""

    def row(self) -> dict[str, Any]:
        """Return the figures as JSON."""
        return asdict(self)


def waiting_sizes(
    servers: BenchMachine, events: int, tell: Callable[[str], None]
) -> list[WaitingSize]:
    """Fill an empty inbox with events of each size."""
    found = []
    for size in SIZES:
        tell(f"waiting events of {size:,} bytes")
        servers.empty_redis()
        found.append(_filled(servers, size, events))
    servers.empty_redis()
    return found


def _filled(servers: BenchMachine, size: int, events: int) -> WaitingSize:
    client = redis.Redis.from_url(servers.redis_url())
    inbox = Inbox(client)
    # The first accept makes keys that later ones share.
    bodies = _padded(size, events + _AT_ONCE)
    _accept(inbox, bodies[:_AT_ONCE])
    memory, written = _held(client)
    _accept(inbox, bodies[_AT_ONCE:])
    memory_now, written_now = _held(client)
    reported = RoomMeasure(client, limit=_NO_LIMIT).read().bytes_each
    return WaitingSize(
        body_bytes=size,
        memory_bytes=(memory_now - memory) / events,
        reported_bytes=reported,
        file_bytes=(written_now - written) / events,
        load_seconds=_load_seconds(servers) / events,
    )


def _accept(inbox: Inbox, bodies: Sequence[bytes]) -> None:
    for place in range(0, len(bodies), _AT_ONCE):
        together = bodies[place : place + _AT_ONCE]
        words = [accept_words(event_body.parse(body)) for body in together]
        inbox._accept(words)  # noqa: SLF001 - the call that threads share


def _held(client: redis.Redis) -> tuple[int, int]:
    memory, persistence = client.info("memory"), client.info("persistence")
    return int(memory["used_memory"]), int(persistence["aof_current_size"])


def _load_seconds(servers: BenchMachine) -> float:
    """Return the seconds until Redis, started again, has read its file and answers."""
    servers.redis.stop()
    began = time.perf_counter()
    servers.redis.start()
    return time.perf_counter() - began


def _padded(size: int, events: int) -> list[bytes]:
    return list(islice(_of_size(size), events))


def _of_size(size: int) -> Iterator[bytes]:
    """Yield distinct events of the mix whose bodies are filled up to a size."""
    turn = 0
    while True:
        for body in mixes.first(3000, f"waiting {size} {turn}"):
            filler = size - len(body)
            if filler > 0:
                yield _with_filler(body, filler)
        turn += 1


def _with_filler(body: bytes, filler: int) -> bytes:
    return body.rstrip()[:-1] + b',"filler":"' + b"x" * max(filler - _FIELD, 0) + b'"}'
