"""A real ``python -m workers`` on real servers, and events accepted as ingest accepts them."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from billing.catalogue import read_catalogue
from billing.envelope import Envelope, parse
from models.tables import DeadLetter, StoredCustomer, StripeEvent
from ops.up.servers.process_table import children_of, command_of
from runtime.broker import WakePublisher, make_celery
from runtime.database.engine import engine_for
from runtime.inbox.inbox import Inbox
from runtime.ledger.catalogues import install_first
from runtime.settings import Settings
from tests.ingest.ingest_process import Under
from tests.killing import kill
from tests.workers.fakes import body_of
from tests.workers.waiting import until

REPOSITORY = Path(__file__).parents[2]


@dataclass
class WorkerSite:
    """The servers of one test, as seen from outside."""

    database_url: str
    redis_url: str
    log: Path

    def __post_init__(self) -> None:
        self.environ = {
            **os.environ,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "PAIDUP_WORKER_PROCESSES": "2",
            "PAIDUP_WORKER_METRICS_BIND": "127.0.0.1:0",
            "PAIDUP_DATA_DIR": str(self.log.parent),
        }
        settings = Settings.from_env(self.environ)
        self.redis = redis.Redis.from_url(self.redis_url)
        self.engine: Engine = engine_for(self.database_url, application_name="tests")
        self.inbox = Inbox(self.redis)
        self.wakes = WakePublisher(make_celery(settings, role="publisher"))

    def install_plans(self) -> None:
        """Install an empty catalogue; without one no event is settled."""
        install_first(self.engine, read_catalogue({}), actor="tests", reason="tests")

    def accept(self, envelopes: Iterable[Envelope], *, inbox: Inbox | None = None) -> list[str]:
        """Accept verified bodies as ingest does; return the acknowledged ids."""
        ids, inbox = [], inbox or self.inbox
        for envelope in envelopes:
            accepted = inbox.accept(envelope)
            if accepted.wake is not None and not self.wakes.publish(accepted.wake):
                inbox.unregister(accepted.wake)
            ids.append(str(envelope.event_id))
        return ids

    def settled(self) -> Counter[str]:
        """Return how often each event is in the database."""
        with self.engine.connect() as connection:
            return Counter(connection.scalars(sa.select(StripeEvent.id)))

    def settled_count(self) -> int:
        """Return the number of settled events."""
        with self.engine.connect() as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(StripeEvent)) or 0)

    def customers(self) -> set[str]:
        """Return the customers whose events took effect."""
        with self.engine.connect() as connection:
            return set(connection.scalars(sa.select(StoredCustomer.stripe_customer_id)))

    def dead(self) -> list[Any]:
        """Return the dead letters."""
        with self.engine.connect() as connection:
            return list(connection.execute(sa.select(DeadLetter.__table__)))

    def until_drained(self, seconds: float = 60.0) -> None:
        """Wait until nothing is left in the inbox."""
        until(
            lambda: self.inbox.backlog().events == 0,
            seconds=seconds,
            why=f"drained; see {self.log}",
        )

    def assert_each_applied_once(self, ids: Sequence[str]) -> None:
        """Assert that exactly the acknowledged events are settled, once, and took effect."""
        assert self.settled() == Counter(ids)
        assert self.customers() == {id_.replace("evt", "cus") for id_ in ids}
        assert self.inbox.backlog().events == 0

    def close(self) -> None:
        self.engine.dispose()
        self.redis.close()


class WorkerProcess:
    """One supervisor and its pool."""

    def __init__(
        self, site: WorkerSite, module: str = "workers", under: Under = list, /, **environ: str
    ) -> None:
        self._site = site
        with site.log.open("ab") as log:
            self.process = subprocess.Popen(
                under([sys.executable, "-m", module]),
                env={**site.environ, **environ},
                cwd=REPOSITORY,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pool(self) -> int | None:
        """The main process of the drain pool."""
        return next(
            (pid for pid in children_of(self.process.pid) if _is_pool(command_of(pid))), None
        )

    @property
    def children(self) -> list[int]:
        """The processes that drain."""
        pool = self.pool
        return list(children_of(pool)) if pool else []

    def tree(self) -> list[int]:
        """Return all live processes, outermost first; any of them may die meanwhile."""
        mine = list(children_of(self.process.pid))
        inner = [child for pid in mine for child in children_of(pid)]
        return [self.process.pid, *mine, *inner]

    def until_ready(self) -> None:
        """Wait until the pool has its children and the supervisor has announced them."""
        until(
            lambda: len(self.children) == 2 and self._site.inbox.backlog().processes == 2,
            seconds=30,
            why=f"ready; see {self._site.log}",
        )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the supervisor, wait, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def kill(self) -> None:
        """Kill every process at once, as a power failure does."""
        for pid in self.tree():
            kill(pid)
        self.process.wait()


@contextmanager
def running(
    site: WorkerSite, module: str = "workers", under: Under = list, /, **environ: str
) -> Iterator[WorkerProcess]:
    """Run a worker until the block ends; ``under`` wraps its command."""
    worker = WorkerProcess(site, module, under, **environ)
    try:
        yield worker
    finally:
        worker.kill()


def customers(numbers: Iterable[int]) -> Iterator[Envelope]:
    """Yield one event for each customer number."""
    for number in numbers:
        yield parse(body_of(f"evt_{number}", f"cus_{number}"))


def _is_pool(command: str) -> bool:
    return "pool" in command and "fetch.pool" not in command
