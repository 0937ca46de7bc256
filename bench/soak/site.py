"""The running stack of a soak test, and everything that a fault does to it."""

import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
import redis

from bench.soak.parties import events_that_no_retry_applies, payments_of_one_customer
from bench.soak.sending import Sending
from bench.soak.servers import SoakServers
from billing.ids import PartyId
from ops.samples.scenario import Event
from ops.up.servers.process import Process
from ops.up.servers.process_table import children_of, command_of
from ops.up.stack import Stack
from runtime.broker import QUEUE
from runtime.database.engine import conninfo_of
from runtime.inbox.inbox import Inbox
from runtime.ledger.locks import number_of
from runtime.metrics_room import FOLDER_PREFIX
from runtime.redis_broker import KEY_PREFIX
from workers.liveness import CLAIM_PREFIX

HOUR_MS: Final = 3_600_000
HOT_EVENTS: Final = 300
POISON_EVENTS: Final = 20
LOCKED_EVENTS: Final = 20
STARTS_KILLED: Final = 3
START_SECONDS: Final = 15.0
STOP_SECONDS: Final = 100.0
PREFIX: Final = "paidup:"
WAKE_UPS: Final = f"{KEY_PREFIX}{QUEUE}"
_QUIET_APPLICATION: Final = "soak"
_LOOK_SECONDS: Final = 0.01

# A clock that steps back leaves every time in Redis an hour ahead of it.
_STEP_CLOCK: Final = """
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  if redis.call('TYPE', key).ok == 'zset' then
    local members = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for i = 1, #members, 2 do
      redis.call('ZADD', key, members[i + 1] + ARGV[2], members[i])
    end
  end
end
-- Else nothing shows the step where no event waits.
redis.call('INCRBY', ARGV[1] .. 'clock', ARGV[2])
return 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldParty:
    """A customer whose locks a frozen process may have held, in seconds of the epoch."""

    party: str
    since: float
    until: float


@dataclass(slots=True)
class SoakSite:
    """The running stack, and the events that faults add to its traffic."""

    stack: Stack
    servers: SoakServers
    sending: Sending
    chance: random.Random
    inbox: Inbox
    involved: set[str] = field(default_factory=set)
    """Events of a busy customer, of one whose lock is held, and of those to refuse."""
    held_parties: list[HeldParty] = field(default_factory=list)
    """Customers whose locks a frozen process may have held."""
    refused: set[str] = field(default_factory=set)
    """Events that must end as dead letters."""
    _number: int = 0
    _lock: psycopg.Connection[Any] | None = None
    _stopped: list[int] = field(default_factory=list)
    _held_since: dict[str, float] = field(default_factory=dict)

    # Processes ------------------------------------------------------------------------------

    def kill_one(self, pids: Callable[[], Sequence[int]]) -> None:
        """Kill one of these processes, once there is one, and wait until it has ended."""
        self.stop(pids, signal.SIGKILL)

    def stop(self, pids: Callable[[], Sequence[int]], how: signal.Signals) -> None:
        """Ask the process to stop, and wait until it has: that may take until its batch ends.

        Without the wait its end may be noticed during the next fault, which does not explain it.
        """
        pid = self._send_signal(pids, how)
        until = time.monotonic() + STOP_SECONDS
        while pid in pids() and time.monotonic() < until:
            time.sleep(0.05)

    def freeze_one(self, pids: Callable[[], Sequence[int]]) -> int:
        """Freeze one of these processes until ``thaw``, once there is one; return its id."""
        self._stopped.append(self._send_signal(pids, signal.SIGSTOP))
        return self._stopped[-1]

    def freeze_pool_child(self) -> None:
        """Freeze one pool child. It may hold the locks of its customers, so they are concerned."""
        pid = self.freeze_one(self.pool_children)
        for token in _tokens_of(self.stack.data_dir, pid):
            claim: Any = self._redis().hgetall(f"{PREFIX}claim:{token}")
            for event_id, place in _places(claim):
                self.involved.add(event_id)
                self._held_since.setdefault(place.partition("|")[2], time.time())

    def _send_signal(self, pids: Callable[[], Sequence[int]], how: signal.Signals) -> int:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            self.restart_ended()
            with suppress(ProcessLookupError, IndexError):
                pid = self.chance.choice(sorted(pids()))
                os.kill(pid, how)
                return pid
            time.sleep(0.05)
        raise TimeoutError(f"no process to send {how.name} to within {START_SECONDS:.0f} s")

    def thaw(self) -> None:
        """Continue every process that was frozen."""
        for pid in self._stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._stopped.clear()
        for party, since in self._held_since.items():
            self.held_parties.append(HeldParty(party=party, since=since, until=time.time()))
        self._held_since.clear()

    def freeze_server(self, server: Process) -> None:
        """Freeze a server with all its processes until ``thaw``."""
        for pid in pids_of(server):
            self._stopped += [*children_of(pid), pid]
        for pid in self._stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def restart_ended(self) -> None:
        """Restart servers and services that ended."""
        self.servers.restart_ended()
        self.stack.restart_ended()

    def ended(self) -> list[str]:
        """Return the parts that have ended and do not run again yet."""
        services = (self.stack.worker, self.stack.ingest)
        parts = [*self.servers.ended(), *(each for each in services if each is not None)]
        return [part.name for part in parts if not part.is_alive()]

    def postgres_pids(self) -> list[int]:
        """Return the primary of PostgreSQL."""
        return pids_of(self.servers.postgres.primary)

    def redis_pids(self) -> list[int]:
        """Return the primary of Redis."""
        return pids_of(self.servers.redis.primary)

    def ingest(self) -> list[int]:
        """Return the launcher of ingest."""
        return pids_of(self.stack.ingest)

    def ingest_processes(self) -> list[int]:
        """Return the server processes of ingest."""
        return _children(self.ingest(), "spawn_main")

    def supervisor(self) -> list[int]:
        """Return the supervisor of the worker."""
        return pids_of(self.stack.worker)

    def pools(self) -> list[int]:
        """Return the main processes of pools."""
        return _children(self.supervisor(), "workers.drain.pool")

    def pool_children(self) -> list[int]:
        """Return the worker processes."""
        return _children(self.pools())

    def kill_starting_supervisors(self) -> None:
        """Kill several supervisors in turn, each while its pool starts."""
        for _ in range(STARTS_KILLED):
            self.kill_one(self.supervisor)
            before = time.monotonic()
            while not self.pools() and time.monotonic() - before < START_SECONDS:
                self.restart_ended()
                time.sleep(0.05)
            time.sleep(self.chance.random())

    def forbid_files(self) -> None:
        """Let no process of the worker write to a file, as on a full disk."""
        for pid in [*self.supervisor(), *self.pools(), *self.pool_children()]:
            _limit_files(pid, 0)

    def allow_files(self) -> None:
        """Lift the limit, also of processes started meanwhile."""
        for pid in [*self.supervisor(), *self.pools(), *self.pool_children()]:
            _limit_files(pid, resource.RLIM_INFINITY)

    # Servers --------------------------------------------------------------------------------

    def end_sessions(self) -> None:
        """End every session of Paidup at PostgreSQL."""
        with self._database() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'paidup%' AND usename = current_user"
            )

    def drop_clients(self) -> None:
        """Close every other connection to Redis."""
        self._redis().client_kill_filter(_type="normal", skipme=True)

    def forget_scripts(self) -> None:
        """Empty the script cache of Redis."""
        self._redis().script_flush()

    def drop_wake_ups(self) -> None:
        """Delete the wake-ups on their way to the pool, once there is one.

        The pool takes each at once, so it is frozen meanwhile.

        Raises:
            TimeoutError: none was sent, so none could be lost.
        """
        client, until = self._redis(), time.monotonic() + START_SECONDS
        self.freeze_one(self.pools)
        try:
            while not client.delete(WAKE_UPS):
                if time.monotonic() >= until:
                    raise TimeoutError(f"no wake-up to drop within {START_SECONDS:.0f} s")
                time.sleep(_LOOK_SECONDS)
        finally:
            self.thaw()

    def fill_redis(self) -> None:
        """Leave Redis no memory for another event."""
        self._redis().config_set("maxmemory", "1mb")

    def empty_redis_again(self) -> None:
        """Give Redis its memory back."""
        self._redis().config_set("maxmemory", self.servers.redis.primary.maxmemory)

    def step_clock_back(self) -> None:
        """Leave all times in Redis an hour ahead, as a clock does that steps back."""
        self._redis().eval(_STEP_CLOCK, 0, PREFIX, HOUR_MS)

    def drop_done_markers(self) -> None:
        """Delete the cached results."""
        client = self._redis()
        for name in client.scan_iter(f"{PREFIX}done:*", count=1000):
            client.delete(name)

    def block_table(self) -> None:
        """Hold the lock that a migration or VACUUM FULL takes."""
        self._lock = self._database(autocommit=False)
        self._lock.execute("LOCK TABLE payments IN ACCESS EXCLUSIVE MODE")

    def lock_one_customer(self) -> None:
        """Hold the lock of one party, and send events about it."""
        customer = f"cus_locked{self._next()}"
        first, *more = payments_of_one_customer(customer, customer, LOCKED_EVENTS)
        self._send([first])
        self._lock = self._database(autocommit=False)
        before = time.monotonic()
        while (party := self._party(customer)) is None and time.monotonic() - before < 60:  # noqa: PLR2004
            time.sleep(0.05)
        assert party is not None, "the first payment of the customer was not settled"  # noqa: S101
        self._lock.execute("SELECT pg_advisory_xact_lock(%s)", (number_of(party),))
        self._send(more)

    def release_lock(self) -> None:
        """End the transaction that holds a lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # Events ---------------------------------------------------------------------------------

    def send_hot_customer(self) -> None:
        """Send many payments of one customer at once."""
        customer = f"cus_hot{self._next()}"
        self._send(payments_of_one_customer(customer, customer, HOT_EVENTS))

    def send_poison(self) -> None:
        """Send events that no retry applies."""
        events = events_that_no_retry_applies(f"poison{self._next()}", POISON_EVENTS)
        self.refused |= {event.id for event in events}
        self._send(events)

    def _send(self, events: Sequence[Event]) -> None:
        self.involved |= {event.id for event in events}
        client = self.sending.client()
        for event in events:
            self.sending.deliver(client, event)
        client.close()

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _party(self, customer: str) -> PartyId | None:
        with self._database() as connection:
            row = connection.execute(
                "SELECT party FROM memberships WHERE object_key = %s", (f"test:{customer}",)
            ).fetchone()
        return PartyId(row[0]) if row else None

    def _database(self, *, autocommit: bool = True) -> psycopg.Connection[Any]:
        return psycopg.connect(
            conninfo_of(self.stack.database_url),
            autocommit=autocommit,
            application_name=_QUIET_APPLICATION,
        )

    def _redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.stack.redis_url, socket_timeout=5)


def pids_of(process: Process | None) -> list[int]:
    """Return the process, if it runs."""
    return [process.pid] if process and process.is_alive() else []


def _children(parents: Sequence[int], command: str = "") -> list[int]:
    children = [child for pid in parents for child in children_of(pid)]
    return [pid for pid in children if command in command_of(pid)]


def kill_server(server: Process) -> None:
    """Kill a server with all its processes, as a machine failure would."""
    if server.is_alive():
        server.kill()


def _limit_files(pid: int, most: int) -> None:
    with suppress(ProcessLookupError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, hard))


def _tokens_of(data_dir: Path, pid: int) -> Iterator[str]:
    """Yield the token of the claim that a process holds, by its claim file."""
    for path in data_dir.glob(f"{FOLDER_PREFIX}*/{CLAIM_PREFIX}{pid}"):
        if token := path.read_text(encoding="ascii").rstrip():
            yield token


def _places(claim: dict[bytes, bytes]) -> Iterator[tuple[str, str]]:
    """Yield each event of a claim and its place: a lane and a customer."""
    for field_name, place in claim.items():
        if field_name.startswith(b"e:"):
            yield field_name.decode().removeprefix("e:"), place.decode()
