"""The servers of one fault test, workers and ingest on them, and the check of the result."""

import itertools
import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import redis
import sqlalchemy as sa
from redis.backoff import NoBackoff
from redis.retry import Retry

from ops.demo.plans import PLANS
from ops.send.delivery import DeliveryClient, EndpointResponse
from ops.send.endpoint import Endpoint
from ops.up.servers.postgres_server import Postgres
from ops.up.servers.process_table import children_of, command_of
from ops.up.servers.redis_server import Redis
from runtime.inbox.inbox import Inbox
from runtime.ledger.catalogues import install_first
from runtime.plans_file import read_plans
from tests.faults.oracle import DeliveryLog, differences_from
from tests.faults.purchases import event_id, purchase, purchases
from tests.killing import kill
from tests.postgres_pair import worker_sessions
from tests.workers.waiting import until
from tests.workers.worker_process import REPOSITORY, WorkerProcess, WorkerSite

SECRET = "whsec_" + "fault" * 6
FAULTY_WORKER = "tests.faults.faulty_worker"
FAULTY_INGEST = "tests.faults.faulty_ingest"

SCRAPE_SECONDS = 5.0

LOOK_SECONDS = 10.0
"""A test's own look at Redis waits so long, which no result depends on."""

SEND_SECONDS = 1.0
"""An attempt to take an event waits as long as Paidup's clients do."""

_BURST = 300
_bursts = itertools.count()


@dataclass
class FaultSite(WorkerSite):
    """A site that remembers which events were acknowledged."""

    answers: DeliveryLog = field(default_factory=DeliveryLog)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._connect(self.redis_url)
        self.folder = self.log.parent
        self.environ |= {
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "PAIDUP_PLANS": str(PLANS),
            "PAIDUP_INGEST_BIND": "127.0.0.1:0",
            "PAIDUP_LOG_LEVEL": "warning",
            "FAULT_FOLDER": str(self.folder),
        }

    def _connect(self, redis_url: str) -> None:
        # A disk that others keep busy holds up a flush for seconds. That fails no test.
        self.redis = one_try_client(redis_url, LOOK_SECONDS)
        self.inbox = Inbox(self.redis)
        self._sending = Inbox(one_try_client(redis_url, SEND_SECONDS))

    def install_plans(self) -> None:
        """Install the plans of the sample shop."""
        install_first(self.engine, read_plans(PLANS), actor="tests", reason="tests")

    def take(self, names: Iterable[object]) -> list[str]:
        """Accept and acknowledge purchases as ingest does; return their ids."""
        ids = self.accept(purchases(names))
        self.answers.acknowledged.update(ids)
        return ids

    def take_quietly(self, names: Iterable[object]) -> list[str]:
        """Accept purchases without a wake-up: ingest died, or the broker was unreachable."""
        ids = []
        for envelope in purchases(names):
            self.inbox.accept(envelope)
            ids.append(str(envelope.event_id))
        self.answers.acknowledged.update(ids)
        return ids

    def try_to_take(self, name: object) -> bool:
        """Accept one purchase, or record it as refused, as ingest does, if Redis is unreachable."""
        try:
            ids = self.accept(purchases([name]), inbox=self._sending)
        except redis.RedisError:
            self.answers.took(event_id(name), acknowledged=False)
            return False
        self.answers.acknowledged.update(ids)
        return True

    def look_at(self, server: Redis) -> None:
        """Let the test look at the server that is the primary now."""
        self.redis.close()
        self._connect(server.url)

    def is_settled(self, ids: Iterable[str]) -> bool:
        """Return True if all of these are settled."""
        return set(ids) <= self.settled().keys()

    def check_result(
        self, *, dead: Iterable[str] = (), letters: Iterable[str] = (), seconds: float = 60.0
    ) -> None:
        """Wait until the inbox is empty, then compare the result with the acknowledged events.

        ``dead`` had no effect; ``letters`` were dead letters and were applied after all.
        """
        until(self._drained, seconds=seconds, why=f"drained; see {self.log}")
        found = differences_from(
            self.engine, self.redis, self.answers, dead=set(dead), letters=set(letters)
        )
        assert found == (), f"{len(found)} differences; {found[:5]}; see {self.log}"

    def _drained(self) -> bool:
        with suppress(redis.RedisError):
            return self.inbox.backlog().events == 0
        return False

    def fuse(self, name: str, times: int = 1) -> int:
        """Return how often a fault has happened so far, of ``times`` at most."""
        return sum((self.folder / f"{name}.{n}").exists() for n in range(times))


def replay(site: FaultSite, operator: str, *options: str) -> int:
    """Run ``paidup replay`` as an operator does; return its exit code."""
    command = ["replay", *(options or ("--all",)), "--yes", "--as", operator, "--reason", "a drill"]
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", *command],
        env=site.environ,
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=90,
        check=False,
    )
    print(done.stderr.decode())  # noqa: T201 - pytest shows it when the test fails
    return done.returncode


def check_after_random_kills(site: FaultSite) -> None:
    """Check the result of a site on which kills met any process at any moment.

    An event that was alone in a killed process three times is a dead letter, since nothing tells it
    from one that kills. An operator replays it.
    """
    site.until_drained(120)
    letters = site.dead()
    assert {letter.error_type for letter in letters} <= {"crash_loop"}, letters
    if letters:
        assert replay(site, "ada", "--outcome", "dead") == 0
        until(lambda: all(each.state == "replayed" for each in site.dead()), why="replayed")
    site.check_result(letters=[letter.event_id for letter in letters])


def one_try_client(url: str, seconds: float) -> redis.Redis:
    """Return a client that tries once and waits so long for an answer."""
    return redis.Redis.from_url(url, socket_timeout=seconds, retry=Retry(NoBackoff(), 0))


@contextmanager
def workers(site: FaultSite, *faults: str, **environ: str) -> Iterator[WorkerProcess]:
    """Run a worker with faults installed, and kill it at the end of the test."""
    worker = WorkerProcess(site, FAULTY_WORKER, FAULTS=" ".join(faults), **environ)
    try:
        yield worker
    finally:
        for pid in worker.tree():
            kill(pid, signal.SIGCONT)
            kill(pid)
        worker.process.wait()


class FaultyIngest:
    """An ingest process that may have faults installed."""

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
        """Wait until it listens, ready or not."""
        until(self._has_url, seconds=30, why=f"ingest starts; see {self._log}")
        until(lambda: self.get("/healthz") == 200, seconds=30, why=f"it lives; see {self._log}")

    def until_ready(self) -> None:
        """Wait until it accepts events."""
        self.until_it_answers()
        until(lambda: self.ready, seconds=30, why=f"ingest is ready; see {self._log}")

    @property
    def ready(self) -> bool:
        """True if ``/readyz`` answers 200."""
        return self.get("/readyz") == 200

    @property
    def server_processes(self) -> list[int]:
        """The server processes that run now."""
        return [pid for pid in children_of(self.process.pid) if "spawn_main" in command_of(pid)]

    def log_text(self) -> str:
        """Return what it logged so far."""
        return self._log.read_text()

    def get(self, path: str) -> int:
        """Return the status of a page, 0 where nothing answers."""
        connection = Endpoint.at(self.url + path).connect()
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def client(self) -> DeliveryClient:
        """Return a client with a connection of its own, for one thread."""
        return DeliveryClient(Endpoint.at(f"{self.url}/webhooks/stripe"), SECRET)

    def post(self, body: bytes) -> EndpointResponse:
        """Deliver once, on a connection of its own."""
        client = self.client()
        try:
            return client.post(body)
        finally:
            client.close()

    def deliver(self, name: object, *, client: DeliveryClient | None = None) -> EndpointResponse:
        """Deliver a purchase once, and record the answer."""
        body = purchase(name)
        answer = client.post(body) if client else self.post(body)
        self._site.answers.took(event_id(name), acknowledged=answer.taken)
        return answer

    def _has_url(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        found = re.search(r'"url": "(http://[^"]+)"', self._log.read_text())
        self.url = found[1] if found else ""
        return bool(found)


@contextmanager
def ingesting(site: FaultSite, *faults: str, ready: bool = True) -> Iterator[FaultyIngest]:
    """Run an ingest that is ready, or at least answers, until the end of the test."""
    ingest = FaultyIngest(site, *faults)
    try:
        ingest.until_ready() if ready else ingest.until_it_answers()
        yield ingest
    finally:
        for pid in (*children_of(ingest.process.pid), ingest.process.pid):
            kill(pid)
        ingest.process.wait()


@contextmanager
def trickle(site: FaultSite, *, rate: float, names: Callable[[int], object]) -> Iterator[list[str]]:
    """Accept purchases until the block ends; yield the ids tried so far."""
    stopped, tried = Event(), list[str]()

    def send() -> None:
        started = time.monotonic()
        while not stopped.wait(max(0.0, started + len(tried) / rate - time.monotonic())):
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


def until_both_processes_work(site: FaultSite, server: Postgres) -> None:
    """Take purchases of many customers until each process of the pool has a session."""

    def take_more() -> None:
        # More than one claim holds, so that a second process is woken.
        if site.inbox.backlog().events < _BURST // 2:
            site.take(f"burst-{number}" for number in itertools.islice(_bursts, _BURST))

    until(lambda: worker_sessions(server) >= 2, meanwhile=take_more, why="both processes work")


def open_loop(
    ingest: FaultyIngest, names: Sequence[object], *, rate: float, connections: int
) -> "OpenLoop":
    """Start to deliver each purchase once at its time, however the earlier ones end."""
    loop = OpenLoop(ingest, names, rate, connections)
    loop.start()
    return loop


class OpenLoop:
    """So many clients that take turns; ``answers`` are what each purchase got, with when."""

    def __init__(
        self, ingest: FaultyIngest, names: Sequence[object], rate: float, connections: int
    ) -> None:
        self._ingest, self._names = ingest, names
        self._rate, self._connections = rate, connections
        self._started = 0.0
        self.answers: list[tuple[float, EndpointResponse]] = []
        self._threads = [Thread(target=self._deliver, args=(n,)) for n in range(connections)]

    def start(self) -> None:
        """Start all clients."""
        self._started = time.monotonic()
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until all clients are done."""
        for thread in self._threads:
            thread.join()

    def _deliver(self, first: int) -> None:
        client = self._ingest.client()
        for number in range(first, len(self._names), self._connections):
            time.sleep(max(0.0, self._started + number / self._rate - time.monotonic()))
            started = time.monotonic()
            self.answers.append((started, self._ingest.deliver(self._names[number], client=client)))
        client.close()


def revived(worker: WorkerProcess, site: FaultSite, *faults: str) -> WorkerProcess:
    """Return the worker, or a new one if its supervisor is dead, as an init system does."""
    if worker.process.poll() is None:
        return worker
    return WorkerProcess(site, FAULTY_WORKER, FAULTS=" ".join(faults))


def count(site: FaultSite, query: str, **values: object) -> int:
    """Return the number that a query yields."""
    with site.engine.connect() as connection:
        return int(connection.execute(sa.text(query), values).scalar_one())


class Stripe(Thread):
    """Delivers one purchase after the other, and each again until it is acknowledged."""

    def __init__(self, ingest: FaultyIngest, names: Iterator[int], rate: float) -> None:
        super().__init__(name="stripe")
        self._ingest, self._names, self._rate = ingest, names, rate
        self.ended = Event()

    def run(self) -> None:
        client = self._ingest.client()
        for name in self._names:
            if self.ended.wait(1 / self._rate):
                break
            while not self._ingest.deliver(name, client=client).taken:
                time.sleep(0.05)
        client.close()


def metrics_url(site: FaultSite) -> str:
    """Wait until the worker serves its metrics, and return their URL."""

    def found() -> "re.Match[str] | None":
        return re.search(
            r'"address": "([0-9.:]+)", "event": "metrics served"', site.log.read_text()
        )

    until(lambda: found() is not None, why=f"metrics are served; see {site.log}")
    served = found()
    assert served is not None
    return f"http://{served[1]}/metrics"


def scrape(url: str) -> str:
    """Return the metrics."""
    with urllib.request.urlopen(url, timeout=SCRAPE_SECONDS) as answer:  # noqa: S310 - our own
        return str(answer.read().decode())


def command(site: FaultSite, name: str) -> Any:
    """Return the JSON that a command prints."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "paidup"), name, "--json"],
        env=site.environ,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)
