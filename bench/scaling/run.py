"""Run real workers under a planned load, as many as the autoscaler says, and watch the inbox."""

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import psycopg
from redis.exceptions import RedisError

from bench.scaling.autoscaler import Autoscaler, ScalingRules
from bench.scaling.plan import LoadPlan
from billing.envelope import Envelope, parse
from billing.ids import PartyId
from ops.up.servers.postgres_server import Postgres
from runtime.database.engine import conninfo_of
from runtime.ledger.locks import number_of
from runtime.sizing.shared import state_of
from tests.relay import Relay
from tests.workers.fakes import body_of
from tests.workers.waiting import until
from tests.workers.worker_process import WorkerProcess, WorkerSite, customers

POISON: Final = "evt_poison"
_CUSTOMER: Final = "cus_poison"
_SENDERS: Final = 8
_TRIES: Final = 600
_LOOK_SECONDS: Final = 0.1
_SAMPLE_SECONDS: Final = 0.5
_LAST_SECONDS: Final = 1200.0
"""After the load until one worker is left, on a machine that is busy with other things."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingSample:
    """The system at one moment, in seconds since the start of the load."""

    at: float
    arriving: float
    backlog: int
    age: float
    needed: int
    workers: int
    processes: int
    frozen: bool


@dataclass(slots=True, kw_only=True)
class ScalingRun:
    """One run. Workers reach PostgreSQL through the relay, and everybody else does directly."""

    site: WorkerSite
    postgres: Postgres
    relay: Relay
    plan: LoadPlan
    rules: ScalingRules
    ids: list[str] = field(default_factory=list)
    """All accepted events but the poison."""
    samples: list[ScalingSample] = field(default_factory=list)
    _workers: list[WorkerProcess] = field(default_factory=list)
    _stopping: list[WorkerProcess] = field(default_factory=list)
    _needed: int | None = None
    _frozen: bool = False

    def run(self) -> Autoscaler:
        """Run the load to its end and until one worker is left; return the autoscaler."""
        autoscaler = Autoscaler(self.rules, lambda: self._needed)
        try:
            self._scale(autoscaler.workers)
            with self._poisoned():
                began = time.monotonic()
                with self._sent(began):
                    self._watch(autoscaler, began)
                until(self._is_drained, why=f"drained; see {self.site.log}")
        finally:
            if self._frozen:
                self.postgres.thaw()
            for worker in (*self._workers, *self._stopping):
                worker.kill()
        return autoscaler

    def _watch(self, autoscaler: Autoscaler, began: float) -> None:
        ends_at = self.plan.seconds
        while (now := time.monotonic() - began) < ends_at or not self._is_at_rest():
            if now > ends_at + _LAST_SECONDS:
                raise TimeoutError(f"more than one worker {_LAST_SECONDS:g} s after the load")
            self._freeze(self.plan.is_frozen(now))
            self._look(now, autoscaler)
            self._scale(autoscaler.workers)
            time.sleep(_LOOK_SECONDS)

    def _is_drained(self) -> bool:
        return self.site.inbox.backlog().events == len(self.site.inbox.pending([POISON]))

    def _is_at_rest(self) -> bool:
        last = self.samples[-1]
        return last.workers == self.rules.fewest and last.backlog == 0

    def _freeze(self, frozen: bool) -> None:  # noqa: FBT001 - the state that is wanted
        if frozen != self._frozen:
            (self.postgres.freeze if frozen else self.postgres.thaw)()
            self._frozen = frozen

    def _look(self, now: float, autoscaler: Autoscaler) -> None:
        if not self.samples or now - self.samples[-1].at >= _SAMPLE_SECONDS:
            inbox = self.site.inbox.backlog()
            self._needed = state_of(inbox).workers_needed
            sample = ScalingSample(
                at=now,
                arriving=inbox.arriving or 0.0,
                backlog=inbox.due + inbox.claimed,
                age=inbox.waiting_seconds,
                needed=self._needed or 0,
                workers=autoscaler.workers,
                processes=inbox.processes,
                frozen=self._frozen,
            )
            self.samples.append(sample)
        autoscaler.look(now)

    def _scale(self, workers: int) -> None:
        """Start and stop workers, as a deployment does; the youngest stops first."""
        while len(self._workers) < workers:
            url = self.site.database_url.replace(f":{self.postgres.port}", f":{self.relay.port}")
            worker = WorkerProcess(self.site, DATABASE_URL=url, PAIDUP_WORKER_PROCESSES="1")
            self._workers.append(worker)
        while len(self._workers) > workers:
            worker = self._workers.pop()
            worker.process.send_signal(signal.SIGTERM)
            self._stopping.append(worker)

    @contextmanager
    def _sent(self, began: float) -> Iterator[None]:
        """Send what the plan says, from a thread, until the block ends."""
        stopped = threading.Event()

        def send() -> None:
            with ThreadPoolExecutor(_SENDERS) as senders:
                while not stopped.wait(_LOOK_SECONDS):
                    due = self.plan.arrived(time.monotonic() - began)
                    new = customers(range(len(self.ids), due))
                    self.ids += [id_ for ids in senders.map(self._accept, new) for id_ in ids]

        thread = threading.Thread(target=send, name="load", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def _accept(self, envelope: Envelope) -> list[str]:
        """Accept an event; send it again where Redis did not answer in time, as Stripe does."""
        for _ in range(_TRIES):
            with suppress(RedisError):
                return self.site.accept([envelope])
            time.sleep(_LOOK_SECONDS)
        raise TimeoutError(f"Redis took no event in {_TRIES} tries")

    @contextmanager
    def _poisoned(self) -> Iterator[None]:
        """Let one event be tried again and again: somebody holds the lock of its customer."""
        self.ids += self._accept(parse(body_of("evt_before", _CUSTOMER)))
        until(lambda: self.site.settled_count() == 1, why="the customer is known")
        with psycopg.connect(conninfo_of(self.site.database_url)) as holding:
            query = "SELECT party FROM memberships WHERE object_key = %s"
            row = holding.execute(query, (f"test:{_CUSTOMER}",)).fetchone()
            assert row is not None, "its event was settled"  # noqa: S101 - for types
            number = number_of(PartyId(row[0]))
            holding.execute("SELECT pg_advisory_xact_lock(%s)", (number,))
            self._accept(parse(body_of(POISON, _CUSTOMER)))
            yield
