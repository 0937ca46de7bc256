"""The faults of the soak test: each kind, how it begins, how long it lasts and how it ends."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.soak.site import SoakSite, kill_server, pids_of


def _nothing() -> None:
    """Do nothing: the fault is over once it has begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakFault:
    """One kind of fault; it lasts ``seconds`` between ``begin`` and ``end``.

    ``freezes_server``: PostgreSQL or Redis answers nothing until the end.
    """

    kind: str
    begin: Callable[[], object]
    end: Callable[[], object] = _nothing
    seconds: float = 0.0
    freezes_server: bool = False


def faults_of(site: SoakSite) -> Iterator[SoakFault]:
    """Yield every kind of fault once."""
    stack = site.stack
    kill = site.kill_one
    yield SoakFault(kind="ingest killed", begin=lambda: kill(site.ingest()))
    yield SoakFault(kind="ingest process killed", begin=lambda: kill(site.ingest_processes()))
    yield SoakFault(kind="supervisor killed", begin=lambda: kill(site.supervisor()))
    yield SoakFault(kind="pool killed", begin=lambda: kill(site.pools()))
    yield SoakFault(kind="worker process killed", begin=lambda: kill(site.pool_children()))
    yield SoakFault(kind="PostgreSQL killed", begin=lambda: kill_server(stack.postgres))
    yield SoakFault(kind="Redis killed", begin=lambda: kill_server(stack.redis))
    yield SoakFault(kind="ingest stopped", begin=lambda: kill(site.ingest(), signal.SIGTERM))
    yield SoakFault(kind="worker stopped", begin=lambda: kill(site.supervisor(), signal.SIGTERM))
    yield SoakFault(
        kind="PostgreSQL restarted", begin=lambda: kill(pids_of(stack.postgres), signal.SIGINT)
    )
    yield SoakFault(
        kind="Redis restarted", begin=lambda: kill(pids_of(stack.redis), signal.SIGTERM)
    )
    yield SoakFault(kind="supervisors killed at start", begin=site.kill_starting_supervisors)
    yield SoakFault(
        kind="PostgreSQL frozen",
        begin=lambda: site.freeze_server(stack.postgres),
        end=site.thaw,
        seconds=15,
        freezes_server=True,
    )
    yield SoakFault(
        kind="Redis frozen",
        begin=lambda: site.freeze_server(stack.redis),
        end=site.thaw,
        seconds=5,
        freezes_server=True,
    )
    yield _frozen(site, "worker process frozen", site.pool_children, 15)
    yield _frozen(site, "ingest process frozen", site.ingest_processes, 5)
    yield _frozen(site, "supervisor frozen", site.supervisor, 8)
    yield SoakFault(kind="sessions ended", begin=site.end_sessions)
    yield SoakFault(kind="Redis clients dropped", begin=site.drop_clients)
    yield SoakFault(kind="Redis scripts forgotten", begin=site.forget_scripts)
    yield SoakFault(kind="wake-ups lost", begin=site.drop_wake_ups)
    yield SoakFault(kind="done markers lost", begin=site.drop_done_markers)
    yield SoakFault(kind="Redis full", begin=site.fill_redis, end=site.empty_redis_again, seconds=5)
    yield SoakFault(kind="clock of Redis stepped back", begin=site.step_clock_back)
    yield SoakFault(
        kind="no room for side files", begin=site.forbid_files, end=site.allow_files, seconds=8
    )
    yield SoakFault(
        kind="one customer locked", begin=site.lock_one_customer, end=site.release_lock, seconds=20
    )
    yield SoakFault(kind="a table locked", begin=site.block_table, end=site.release_lock, seconds=4)
    yield SoakFault(kind="a hot customer", begin=site.send_hot_customer)
    yield SoakFault(kind="events that fail", begin=site.send_poison)


def _frozen(site: SoakSite, kind: str, pids: Callable[[], list[int]], seconds: float) -> SoakFault:
    return SoakFault(
        kind=kind, begin=lambda: site.freeze_one(pids()), end=site.thaw, seconds=seconds
    )
