"""Measure the service times: of Redis, of one drainer in this process, of ingest, of both disks.

Processor times come from the processes' own clocks, so other work on the machine lengthens them
only as far as it takes caches and halves of a core. Those of batches are means, since some batches
are decided twice; all others are medians.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from statistics import mean, median
from typing import Any, Final

import psycopg
import redis

from bench import costs, measures, mixes
from bench.machine import BenchMachine, prepare
from bench.past import load_past
from bench.simulate.times import BatchCost, ServiceTimes
from bench.where import DRAINER, drainer_here
from billing.envelope import Envelope
from ops.up.stack import Stack
from runtime import event_body
from runtime.gc_tuning import reduce_gc
from runtime.inbox import encoding
from runtime.inbox.inbox import Inbox, Words
from tests.relay import Relay
from workers.batches.drainer import Drainer

DELAY_SECONDS: Final = 0.005
"""How long a relay holds each piece back, so that round trips can be counted by the clock."""

_TRIES: Final = 5
_LONE_RATE: Final = 10
_SHARING: Final = 32
_FLUSHES: Final = 60
_VALUE: Final = b"x" * 4000
_BACKENDS: Final = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuringScale:
    """The amount of measuring: ``repeats`` are the batches of each size in a round."""

    rounds: int
    repeats: dict[int, int]
    flow: int
    lone: int
    old: Sequence[mixes.OldCustomers]


FULL: Final = MeasuringScale(
    rounds=3,
    repeats={1: 30, 5: 20, 20: 12, 50: 8, 100: 6, 200: 6},
    flow=4000,
    lone=80,
    old=mixes.FEWER_OLD,
)
BRIEF: Final = MeasuringScale(rounds=1, repeats={1: 4, 20: 2}, flow=100, lone=10, old=())


def measure(
    servers: BenchMachine, scale: MeasuringScale, tell: Callable[[str], None]
) -> ServiceTimes:
    """Return the service times on a machine whose servers run."""
    tell("a database with old customers")
    database = servers.database("simulate")
    prepare(database)
    if scale.old:
        load_past(database, mixes.past(scale.old))
    return _Measuring(servers, scale, database, tell).times()


class _Measuring:
    def __init__(
        self,
        servers: BenchMachine,
        scale: MeasuringScale,
        database: str,
        tell: Callable[[str], None],
    ) -> None:
        self._servers = servers
        self._scale = scale
        self._database = database
        self._tell = tell
        self._envelopes = self._read_envelopes()

    def times(self) -> ServiceTimes:
        reduce_gc()
        self._servers.empty_redis()
        self._tell("both disks")
        redis_flush, commit_flush = self._redis_flush(), self._commit_flush()
        self._tell("accepts")
        accept_call, accept_event = self._accepts()
        self._tell("batches")
        taken, lone_seconds = self._costs_of_batches()
        self._tell("round trips")
        trips = self._round_trips()
        self._tell("the whole stack")
        ingest, lag_seconds = self._in_the_stack()
        return ServiceTimes(
            ingest=ingest,
            accept_call=accept_call,
            accept_event=accept_event,
            redis_flush=redis_flush,
            commit_flush=commit_flush,
            wake=max(lag_seconds - lone_seconds, 0.0),
            body_bytes=mean(len(each.body) for each in islice(self._envelopes, 500)),
            batches=tuple(
                BatchCost(
                    events=size,
                    worker=mean(each[0] for each in taken[size]),
                    postgresql=mean(each[1] for each in taken[size]),
                    redis=mean(each[2] for each in taken[size]),
                    round_trips=trips[size],
                )
                for size in sorted(taken)
            ),
        )

    def _read_envelopes(self) -> Iterator[Envelope]:
        """Yield further events of the mix, without end, each sample newer than the one before."""
        turn = 0
        while True:
            bodies = mixes.first(3000, f"batches {turn}", old=self._scale.old, turn=turn)
            yield from map(event_body.parse, bodies)
            turn += 1

    # Both disks -----------------------------------------------------------------------------

    def _redis_flush(self) -> float:
        with self._servers.redis.client() as client:
            write = partial(client.set, "simulate", _VALUE)
            seconds = _by_turns(
                (partial(client.config_set, "appendfsync", "always"), write),
                (partial(client.config_set, "appendfsync", "no"), write),
            )
            client.config_set("appendfsync", "always")
            client.delete("simulate")
        return seconds

    def _commit_flush(self) -> float:
        with psycopg.connect(self._database, autocommit=True) as connection:
            connection.execute("CREATE TABLE flushes (value bytea)")

            def wait(how: str) -> Any:
                return connection.execute(f"SET synchronous_commit = {how}".encode())

            write = partial(connection.execute, "INSERT INTO flushes VALUES (%s)", [_VALUE])
            seconds = _by_turns((partial(wait, "on"), write), (partial(wait, "off"), write))
            connection.execute("DROP TABLE flushes")
        return seconds

    # Redis and one drainer ------------------------------------------------------------------

    def _accepts(self) -> tuple[float, float]:
        """Return the processor time of a call of the accept script, and of each of its events."""
        inbox = Inbox(redis.Redis.from_url(self._servers.redis_url(1)))
        alone = self._accept_seconds(inbox, 1, self._scale.rounds * 100)
        shared = self._accept_seconds(inbox, _SHARING, self._scale.rounds * 10)
        inbox.client.flushdb()
        event = max((shared - alone) / (_SHARING - 1), 0.0)
        return max(alone - event, 0.0), event

    def _accept_seconds(self, inbox: Inbox, events: int, calls: int) -> float:
        taken = []
        for _ in range(calls):
            words = [accept_words(each) for each in islice(self._envelopes, events)]
            before = self._redis_seconds()
            inbox._accept(words)  # noqa: SLF001 - the call that threads share
            taken.append(self._redis_seconds() - before)
        return median(taken)

    def _redis_seconds(self) -> float:
        return costs.exact_seconds([self._servers.redis.pid])

    def _costs_of_batches(self) -> tuple[dict[int, list[tuple[float, ...]]], float]:
        """Return what batches take of worker, PostgreSQL and Redis; and the seconds of a lone one.

        Batches of a round are warmed up by those of the round before.
        """
        taken: dict[int, list[tuple[float, ...]]] = {}
        lone: list[float] = []
        folder, url = self._servers.folder, self._servers.redis_url()
        with drainer_here(folder, self._database, url) as (inbox, drainer):
            self._drain(inbox, drainer, max(self._scale.repeats))
            backends = self._backends()
            for _ in range(self._scale.rounds):
                for size, repeats in self._scale.repeats.items():
                    for _ in range(repeats):
                        self._accept(inbox, size)
                        before = self._clocks(backends)
                        began = time.perf_counter()
                        drainer.run("")
                        seconds = time.perf_counter() - began
                        now = self._clocks(backends)
                        used = (late - early for late, early in zip(now, before, strict=True))
                        taken.setdefault(size, []).append(tuple(used))
                        if size == 1:
                            lone.append(seconds)
        return taken, median(lone)

    def _clocks(self, backends: Sequence[int]) -> tuple[float, float, float]:
        return time.process_time(), costs.exact_seconds(backends), self._redis_seconds()

    def _backends(self) -> list[int]:
        with psycopg.connect(self._database) as connection:
            return [pid for (pid,) in connection.execute(_BACKENDS, [DRAINER])]

    def _accept(self, inbox: Inbox, events: int) -> None:
        for envelope in islice(self._envelopes, events):
            inbox.accept(envelope)

    def _drain(self, inbox: Inbox, drainer: Drainer, events: int) -> float:
        """Accept and drain so many events, and return the seconds of draining."""
        self._accept(inbox, events)
        began = time.perf_counter()
        drainer.run("")
        return time.perf_counter() - began

    def _round_trips(self) -> dict[int, float]:
        """Return the round trips of a batch to PostgreSQL, by the time that a relay adds."""
        seconds = [self._seconds_through(delay) for delay in (0.0, DELAY_SECONDS)]
        return {
            size: max((seconds[1][size] - seconds[0][size]) / (2 * DELAY_SECONDS), 1.0)
            for size in self._scale.repeats
        }

    def _seconds_through(self, delay: float) -> dict[int, float]:
        relay = Relay(self._servers.postgres.port, delay_seconds=delay)
        folder, url = self._servers.folder, self._servers.redis_url()
        through = self._database.replace(f":{self._servers.postgres.port}/", f":{relay.port}/")
        try:
            with drainer_here(folder, through, url) as (inbox, drainer):
                self._drain(inbox, drainer, 1)
                return {
                    size: mean(self._drain(inbox, drainer, size) for _ in range(repeats))
                    for size, repeats in self._scale.repeats.items()
                }
        finally:
            relay.close()

    # The whole stack ------------------------------------------------------------------------

    def _in_the_stack(self) -> tuple[float, float]:
        """Return ingest's processor time of an event, and the median lag of lone events."""
        scale = self._scale
        with self._servers.stack(self._database, 1) as running:
            flow(running, mixes.first(scale.flow // 10 + 1, "warming the stack"))
            before = costs.by_kind(self._servers, running)
            flow(running, mixes.first(scale.flow, "the stack"))
            now = costs.by_kind(self._servers, running)
            _, (middle, _) = paced_lag(
                running, lambda turn: mixes.first(scale.lone, f"lone {turn}"), rate=_LONE_RATE
            )
        return (now["ingest"] - before["ingest"]) / scale.flow, middle / 1000


def flow(running: Stack, bodies: mixes.Bodies) -> None:
    """Send events until each is taken, and wait until all of them are settled."""
    measures.taken(measures.ingest_of(running), bodies)
    inbox = measures.inbox_of(running)
    measures.wait(lambda: inbox.backlog().events == 0)


def paced_lag(
    running: Stack, sample: Callable[[int], mixes.Bodies], rate: int
) -> tuple[mixes.Bodies, list[float]]:
    """Return events that came at a rate, and their median and 99th percentile in ms until COMMIT.

    A disk that is busy with other work may make ingest refuse some: then others are sent.

    Raises:
        TimeoutError: ingest refuses some again and again.
    """
    inbox = measures.inbox_of(running)
    for turn in range(1, _TRIES + 1):
        bodies = sample(turn)
        with suppress(measures.NotTaken):
            return bodies, measures.lag(running, bodies, rate)[1]
        measures.wait(lambda: inbox.backlog().events == 0)
    message = f"ingest refused events {_TRIES} times: the machine is too busy"
    raise TimeoutError(message)


def accept_words(envelope: Envelope) -> Words:
    """Return an event as the accept script takes it."""
    header = encoding.write_header(envelope, origin="stripe", extra={})
    return (
        envelope.event_id,
        envelope.fingerprint,
        envelope.partition,
        header,
        envelope.body,
    )


def _by_turns(
    flushed: tuple[Callable[[], Any], Callable[[], Any]],
    unflushed: tuple[Callable[[], Any], Callable[[], Any]],
) -> float:
    """Return how much longer a write takes with a flush than without, by turns."""
    more = []
    for _ in range(_FLUSHES):
        taken = []
        for set_up, write in (flushed, unflushed):
            set_up()
            began = time.perf_counter()
            write()
            taken.append(time.perf_counter() - began)
        more.append(taken[0] - taken[1])
    return max(median(more), 0.0)
