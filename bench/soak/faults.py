"""The faults of the soak test: each kind, how it begins, how long it lasts and how it ends."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from bench.soak.site import SoakSite, kill_server
from ops.up.servers.process import Process
from tests.postgres_pair import Way


def _nothing() -> None:
    """Do nothing: the fault is over once it has begun."""


Down = Literal["never", "while it begins", "until it ends"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakFault:
    """One kind of fault; it lasts ``seconds`` between ``begin`` and ``end``.

    ``down``: the part of it in which PostgreSQL or Redis serves nobody, although they run, or in
    which each worker is killed while it starts.
    ``ends``: the part of the stack that ends by it, and no other may.
    """

    kind: str
    begin: Callable[[], object]
    end: Callable[[], object] = _nothing
    seconds: float = 0.0
    down: Down = "never"
    ends: str | None = None


def faults_of(site: SoakSite) -> Iterator[SoakFault]:
    """Yield every kind of fault once."""
    yield from _kills(site)
    yield from _stops(site)
    yield from _freezes(site)
    yield from _failovers(site)
    yield from _faults_of_redis(site)
    yield from _faults_of_postgresql(site)
    yield from _faults_of_events(site)


def _kills(site: SoakSite) -> Iterator[SoakFault]:
    servers, kill = site.servers, site.kill_one
    yield SoakFault(kind="ingest killed", begin=lambda: kill(site.ingest), ends="ingest")
    yield SoakFault(kind="ingest process killed", begin=lambda: kill(site.ingest_processes))
    yield SoakFault(kind="supervisor killed", begin=lambda: kill(site.supervisor), ends="worker")
    yield SoakFault(
        kind="supervisors killed at start",
        begin=site.kill_starting_supervisors,
        down="while it begins",
        ends="worker",
    )
    yield SoakFault(kind="pool killed", begin=lambda: kill(site.pools))
    yield SoakFault(kind="worker process killed", begin=lambda: kill(site.pool_children))
    yield SoakFault(
        kind="PostgreSQL killed",
        begin=lambda: kill_server(servers.postgres.primary),
        ends="postgres",
    )
    yield SoakFault(
        kind="Redis killed", begin=lambda: kill_server(servers.redis.primary), ends="redis"
    )


def _stops(site: SoakSite) -> Iterator[SoakFault]:
    for kind, ends, pids, how in (
        ("ingest stopped", "ingest", site.ingest, signal.SIGTERM),
        ("worker stopped", "worker", site.supervisor, signal.SIGTERM),
        ("PostgreSQL restarted", "postgres", site.postgres_pids, signal.SIGINT),
        ("Redis restarted", "redis", site.redis_pids, signal.SIGTERM),
    ):
        yield SoakFault(kind=kind, begin=partial(site.stop, pids, how), ends=ends)


def _freezes(site: SoakSite) -> Iterator[SoakFault]:
    for kind, server, seconds in (
        ("PostgreSQL frozen", lambda: site.servers.postgres.primary, 15),
        ("Redis frozen", lambda: site.servers.redis.primary, 5),
        ("Redis replica frozen", lambda: site.servers.redis.replica, 5),
    ):
        begin = partial(_freeze, site, server)
        yield SoakFault(
            kind=kind, begin=begin, end=site.thaw, seconds=seconds, down="until it ends"
        )
    yield SoakFault(
        kind="worker process frozen", begin=site.freeze_pool_child, end=site.thaw, seconds=15
    )
    yield _frozen(site, "ingest process frozen", site.ingest_processes, 5)
    yield _frozen(site, "supervisor frozen", site.supervisor, 8)


def _faults_of_redis(site: SoakSite) -> Iterator[SoakFault]:
    yield SoakFault(kind="Redis clients dropped", begin=site.drop_clients)
    yield SoakFault(kind="Redis scripts forgotten", begin=site.forget_scripts)
    yield SoakFault(kind="wake-ups lost", begin=site.drop_wake_ups)
    yield SoakFault(kind="done markers lost", begin=site.drop_done_markers)
    yield SoakFault(kind="Redis full", begin=site.fill_redis, end=site.empty_redis_again, seconds=5)
    yield SoakFault(kind="clock of Redis stepped back", begin=site.step_clock_back)


def _faults_of_postgresql(site: SoakSite) -> Iterator[SoakFault]:
    release = site.release_lock
    yield SoakFault(kind="sessions ended", begin=site.end_sessions)
    yield SoakFault(
        kind="one customer locked", begin=site.lock_one_customer, end=release, seconds=20
    )
    yield SoakFault(kind="a table locked", begin=site.block_table, end=release, seconds=4)


def _faults_of_events(site: SoakSite) -> Iterator[SoakFault]:
    yield SoakFault(kind="a hot customer", begin=site.send_hot_customer)
    yield SoakFault(kind="events that fail", begin=site.send_poison)
    yield SoakFault(
        kind="no room for side files", begin=site.forbid_files, end=site.allow_files, seconds=8
    )


def _failovers(site: SoakSite) -> Iterator[SoakFault]:
    servers = site.servers
    ways: tuple[Way, ...] = ("killed", "read-only")
    for way in ways:
        yield SoakFault(
            kind=f"PostgreSQL failover, old primary {way}",
            begin=partial(servers.fail_over_postgres, way),
            end=servers.postgres.rebuild_standby,
            seconds=5,
            down="while it begins",
        )
    yield SoakFault(
        kind="Redis failover",
        begin=servers.fail_over_redis,
        end=servers.redis.until_replica_follows,
        seconds=5,
        down="while it begins",
    )


def _freeze(site: SoakSite, server: Callable[[], Process]) -> None:
    site.freeze_server(server())


def _frozen(site: SoakSite, kind: str, pids: Callable[[], list[int]], seconds: float) -> SoakFault:
    return SoakFault(
        kind=kind, begin=partial(site.freeze_one, pids), end=site.thaw, seconds=seconds
    )
