"""The servers of one fault test, workers and ingests on them, and the judge of what is left."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread

import redis
import sqlalchemy as sa
from redis.backoff import NoBackoff
from redis.retry import Retry

from ops.demo.plans import PLANS
from ops.send.delivery import Answer, Courier
from ops.send.endpoint import Endpoint
from ops.up.servers.process_table import children_of, command_of
from runtime.inbox.inbox import Inbox
from runtime.ledger.catalogues import install_first
from runtime.plans_file import read_plans
from tests.faults.oracle import Answers, verdict
from tests.faults.purchases import event_id, purchase, purchases
from tests.killing import kill
from tests.workers.waiting import until
from tests.workers.worker_process import REPOSITORY, Site, Worker

SECRET = "whsec_" + "fault" * 6
FAULTY_WORKER = "tests.faults.faulty_worker"
FAULTY_INGEST = "tests.faults.faulty_ingest"


@dataclass
class FaultSite(Site):
    """A site that remembers what was acknowledged."""

    answers: Answers = field(default_factory=Answers)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.redis = patient_client(self.redis_url)
        self.inbox = Inbox(self.redis)
        self.folder = self.log.parent
        self.environ |= {
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "PAIDUP_PLANS": str(PLANS),
            "PAIDUP_INGEST_BIND": "127.0.0.1:0",
            "PAIDUP_LOG_LEVEL": "warning",
            "FAULT_FOLDER": str(self.folder),
        }

    def install_plans(self) -> None:
        """What the sample shop sells."""
        install_first(self.engine, read_plans(PLANS), actor="tests", reason="tests")

    def take(self, names: Iterable[object]) -> list[str]:
        """Accept purchases as ingest does, wake-up and all; each is acknowledged."""
        ids = self.accept(purchases(names))
        self.answers.acknowledged.update(ids)
        return ids

    def take_quietly(self, names: Iterable[object]) -> list[str]:
        """Accept purchases without a wake-up: the sender died, or the broker did not listen."""
        ids = []
        for envelope in purchases(names):
            self.inbox.accept(envelope)
            ids.append(str(envelope.event_id))
        self.answers.acknowledged.update(ids)
        return ids

    def try_to_take(self, name: object) -> bool:
        """Accept one purchase while Redis may be away: refused then, as ingest would."""
        try:
            self.take([name])
        except redis.RedisError:
            self.answers.took(event_id(name), acknowledged=False)
            return False
        return True

    def is_settled(self, ids: Iterable[str]) -> bool:
        """Whether all of these are."""
        return set(ids) <= self.settled().keys()

    def judge(
        self, *, dead: Iterable[str] = (), letters: Iterable[str] = (), seconds: float = 60.0
    ) -> None:
        """Wait until nothing is left to do, then hold what stands against what was acknowledged.

        ``dead`` had no effect; ``letters`` were dead and were applied after all.
        """
        until(self._drained, seconds=seconds, why=f"drained; see {self.log}")
        found = verdict(self.engine, self.redis, self.answers, dead=set(dead), letters=set(letters))
        assert found == (), f"{len(found)} complaints; {found[:5]}; see {self.log}"

    def _drained(self) -> bool:
        with suppress(redis.RedisError):
            return self.inbox.backlog().events == 0
        return False

    def fuse(self, name: str, times: int = 1) -> int:
        """How often a fault has struck so far, of so many times at most."""
        return sum((self.folder / f"{name}.{n}").exists() for n in range(times))


def patient_client(url: str) -> redis.Redis:
    """A client that asks once and not for long, as all of ours do."""
    return redis.Redis.from_url(url, socket_timeout=1, retry=Retry(NoBackoff(), 0))


@contextmanager
def workers(site: FaultSite, *faults: str, **environ: str) -> Iterator[Worker]:
    """A worker with faults built in, killed at the end of the test whatever it does."""
    worker = Worker(site, FAULTY_WORKER, FAULTS=" ".join(faults), **environ)
    try:
        yield worker
    finally:
        for pid in worker.tree():
            kill(pid, signal.SIGCONT)
            kill(pid)
        worker.process.wait()


class Ingest:
    """An ingest process that may have faults built in."""

    def __init__(self, site: FaultSite, *faults: str) -> None:
        self._site = site
        self._log = site.folder / f"ingest-{time.monotonic_ns()}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", FAULTY_INGEST],
                env={
                    **site.environ,
                    "PAIDUP_LOG_LEVEL": "info",
                    "PAIDUP_INGEST_PROCESSES": "1",
                    "FAULTS": " ".join(faults),
                },
                cwd=REPOSITORY,
                stderr=log,
                start_new_session=True,
            )
        self.url = ""

    def until_it_answers(self) -> None:
        """Wait until it listens, whatever it says."""
        until(self._said_where, seconds=30, why=f"ingest starts; see {self._log}")
        until(lambda: self.get("/healthz") == 200, seconds=30, why=f"it lives; see {self._log}")

    def until_ready(self) -> None:
        """Wait until it takes events."""
        self.until_it_answers()
        until(lambda: self.ready, seconds=30, why=f"ingest is ready; see {self._log}")

    @property
    def ready(self) -> bool:
        """Whether it says so."""
        return self.get("/readyz") == 200

    @property
    def server_processes(self) -> list[int]:
        """The processes that answer requests now."""
        return [pid for pid in children_of(self.process.pid) if "spawn_main" in command_of(pid)]

    def get(self, path: str) -> int:
        """The status of a page; 0 where nobody answers."""
        connection = Endpoint.at(self.url + path).connect()
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def courier(self) -> Courier:
        """A connection of its own, for one thread."""
        return Courier(Endpoint.at(f"{self.url}/webhooks/stripe"), SECRET)

    def post(self, body: bytes) -> Answer:
        """Deliver once, on a connection of its own."""
        courier = self.courier()
        try:
            return courier.post(body)
        finally:
            courier.close()

    def deliver(self, name: object, *, courier: Courier | None = None) -> Answer:
        """Deliver a purchase once, and note what was answered."""
        body = purchase(name)
        answer = courier.post(body) if courier else self.post(body)
        self._site.answers.took(event_id(name), acknowledged=answer.taken)
        return answer

    def _said_where(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        told = re.search(r'"url": "(http://[^"]+)"', self._log.read_text())
        self.url = told[1] if told else ""
        return bool(told)


@contextmanager
def ingesting(site: FaultSite, *faults: str, ready: bool = True) -> Iterator[Ingest]:
    """An ingest that is ready, or at least answers, and is gone at the end of the test."""
    ingest = Ingest(site, *faults)
    try:
        ingest.until_ready() if ready else ingest.until_it_answers()
        yield ingest
    finally:
        for pid in (*children_of(ingest.process.pid), ingest.process.pid):
            kill(pid)
        ingest.process.wait()


@contextmanager
def trickle(site: FaultSite, *, rate: float, names: Callable[[int], object]) -> Iterator[list[str]]:
    """Purchases that keep coming while the block runs; the names of those tried so far."""
    stopped, tried = Event(), list[str]()

    def send() -> None:
        begun = time.monotonic()
        while not stopped.wait(max(0.0, begun + len(tried) / rate - time.monotonic())):
            name = names(len(tried))
            tried.append(event_id(name))
            site.try_to_take(name)

    thread = Thread(target=send, name="trickle")
    thread.start()
    try:
        yield tried
    finally:
        stopped.set()
        thread.join()


def open_loop(
    ingest: Ingest, names: Sequence[object], *, rate: float, connections: int
) -> "OpenLoop":
    """Each purchase once at its time, whatever becomes of those before it; runs beside."""
    loop = OpenLoop(ingest, names, rate, connections)
    loop.start()
    return loop


class OpenLoop:
    """So many couriers that take turns; ``answers`` are what each purchase got, with when."""

    def __init__(
        self, ingest: Ingest, names: Sequence[object], rate: float, connections: int
    ) -> None:
        self._ingest, self._names = ingest, names
        self._rate, self._connections = rate, connections
        self._begun = 0.0
        self.answers: list[tuple[float, Answer]] = []
        self._threads = [Thread(target=self._carry, args=(n,)) for n in range(connections)]

    def start(self) -> None:
        """Begin to send."""
        self._begun = time.monotonic()
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait for the last answer."""
        for thread in self._threads:
            thread.join()

    def _carry(self, first: int) -> None:
        courier = self._ingest.courier()
        for number in range(first, len(self._names), self._connections):
            time.sleep(max(0.0, self._begun + number / self._rate - time.monotonic()))
            begun = time.monotonic()
            self.answers.append((begun, self._ingest.deliver(self._names[number], courier=courier)))
        courier.close()


def revived(worker: Worker, site: FaultSite, *faults: str) -> Worker:
    """The worker, or a new one where its supervisor is dead: what an init system does."""
    if worker.process.poll() is None:
        return worker
    return Worker(site, FAULTY_WORKER, FAULTS=" ".join(faults))


def count(site: FaultSite, query: str, **values: object) -> int:
    """A number that the database knows."""
    with site.engine.connect() as connection:
        return int(connection.execute(sa.text(query), values).scalar_one())
