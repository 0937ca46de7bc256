"""The stack of a running ``paidup up``, and the steps of which drills consist."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any, Final

import psycopg
import redis

from bench.drills.prometheus import DrillPrometheus
from ops.errors import CommandFailed
from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import Lifecycle, compose
from ops.samples.scenario import Event as StripeEvent
from ops.send.delivery import DeliveryClient
from ops.send.endpoint import Endpoint
from ops.up import up_file
from ops.up.servers.process_table import children_of, command_of
from ops.up.up_file import UpFile
from runtime.database.engine import conninfo_of
from runtime.guard import start_loop
from runtime.inbox.entries import Backlog
from runtime.inbox.inbox import Inbox

PARTS: Final = ("redis", "postgres", "ingest", "worker", "console")
ENOUGH_SECONDS: Final = 300.0
"""For any step of a drill. A step that takes as long will not end."""
LOOK_SECONDS: Final = 0.1

_ROOT: Final = Path(__file__).parents[2]
_POOLS: Final = ("workers.drain", "workers.fetch")


class DrillSite:
    """One running stack, what drills have sent to it, and the Prometheus that watches it."""

    def __init__(
        self,
        data_dir: Path,
        prometheus: DrillPrometheus,
        *,
        say: Callable[[str], None],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Let ``pause`` end the waits of a drill by what it raises; those that clear go on."""
        self.data_dir = data_dir
        self.prometheus = prometheus
        self.say = say
        self._pause = pause
        self.sent: set[str] = set()
        """The events that ingest has accepted."""

    @property
    def up(self) -> UpFile:
        """The stack as it is now: the ids of restarted parts are others.

        Raises:
            CommandFailed: it has ended.
        """
        if (up := up_file.read(self.data_dir)) is None:
            raise CommandFailed(f"the stack on {self.data_dir} has ended during the drill")
        return up

    # Waits ----------------------------------------------------------------------------------

    def until(
        self, condition: Callable[[], bool], why: str, *, seconds: float = ENOUGH_SECONDS
    ) -> None:
        """Wait until a condition holds.

        Raises:
            TimeoutError: it did not hold in time.
        """
        _until(condition, why, self._pause, seconds)

    def until_cleared(self, condition: Callable[[], bool], why: str) -> None:
        """Do the same while a drill clears, which no Ctrl-C interrupts."""
        _until(condition, why, time.sleep, ENOUGH_SECONDS)

    # Events ---------------------------------------------------------------------------------

    @contextmanager
    def client(self, *, path: str = "", secret: str = "") -> Iterator[DeliveryClient]:
        """Yield a client of ingest, with another path or secret if one is given."""
        url = f"{self.up.ingest_url}{path}" if path else self.up.webhook_url
        client = DeliveryClient(Endpoint.at(url), secret or self.up.webhook_secret)
        with closing(client):
            yield client

    def send(self, events: Iterable[StripeEvent]) -> None:
        """Deliver events as Stripe does, until each is accepted.

        Raises:
            CommandFailed: one was refused.
        """
        with self.client() as client:
            for event in events:
                answer = client.deliver(event.body)
                if not answer.taken:
                    raise CommandFailed(f"{event.id} got {answer.status}: {answer.said}")
                self.sent.add(event.id)

    def send_one(self, scenario: str = "first_paid", *, user: str | None = None) -> Lifecycle:
        """Send the events of one sample lifecycle."""
        life = lifecycle(scenario, user=user)
        self.send(life.events)
        return life

    def until_settled(self) -> None:
        """Wait until PostgreSQL has every event that was sent."""
        self.until_cleared(self.all_settled, "all events that were sent are settled")

    def all_settled(self) -> bool:
        """Return True if PostgreSQL has every event that was sent, and none of them waits."""
        wanted = list(self.sent)
        with self.owner() as database:
            row = database.execute(
                "SELECT count(*) FROM stripe_events WHERE id = ANY(%s)", (wanted,)
            ).fetchone()
        return row == (len(wanted),) and not self.pending()

    def pending(self) -> list[str]:
        """Return the events that were sent and are in the inbox."""
        with self.redis() as client:
            return Inbox(client).pending(list(self.sent))

    # Servers --------------------------------------------------------------------------------

    @contextmanager
    def owner(self) -> Iterator[psycopg.Connection[Any]]:
        """Yield a connection as the owner of the tables; each statement commits."""
        conninfo = conninfo_of(self.up.owner_database_url)
        with psycopg.connect(conninfo, autocommit=True, application_name="drill") as connection:
            yield connection

    @contextmanager
    def redis(self) -> Iterator[redis.Redis]:
        """Yield a client of Redis."""
        with closing(redis.Redis.from_url(self.up.redis_url, socket_timeout=5)) as client:
            yield client

    def backlog(self) -> Backlog:
        """Return the events that wait."""
        with self.redis() as client:
            return Inbox(client).backlog()

    @contextmanager
    def redis_setting(self, name: str, value: str) -> Iterator[None]:
        """Change a setting of Redis for the time of a block."""
        with self.redis() as client:
            before = str(client.config_get(name)[name])
            try:
                client.config_set(name, value)
                yield
            finally:
                client.config_set(name, before)

    def command(self, *words: str, **environ: str) -> str:
        """Run a command of Paidup on the stack, and return what it printed.

        Raises:
            CommandFailed: it exits with another code than 0.
        """
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "paidup", *words],
            cwd=_ROOT,
            env={**self.environ(), **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,  # a Ctrl-C must not end what clears
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise CommandFailed(f"paidup {' '.join(words)}: {said}")
        return done.stdout

    def environ(self) -> dict[str, str]:
        """Return an environment that names the stack, and nothing of another deployment."""
        kept = ("HOME", "LANG", "PATH", "TMPDIR", "VIRTUAL_ENV")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            **self.up.as_environ(),
            "PAIDUP_DATA_DIR": str(self.data_dir),
        }

    # Processes ------------------------------------------------------------------------------

    @contextmanager
    def frozen(self, part: str) -> Iterator[None]:
        """Freeze a part of the stack with all its processes for the time of a block."""
        with _frozen() as frozen:
            frozen.freeze(_with_children(self.up.pids[part]))
            yield

    @contextmanager
    def frozen_pools(self) -> Iterator[None]:
        """Freeze the processes that take events, for the time of a block.

        The supervisor lives, and replaces a pool that does not move. So its next one is frozen,
        too: it is seen long before it has loaded.
        """
        supervisor = self.up.pids["worker"]

        def freeze(_stopped: Event) -> None:
            for pid in children_of(supervisor):
                if any(pool in command_of(pid) for pool in _POOLS):
                    frozen.freeze(_with_children(pid))

        with _frozen() as frozen, repeatedly(freeze):
            yield


def breakable_stack(data_dir: Path) -> UpFile:
    """Return the running stack of a folder, which must be one to break.

    Raises:
        CommandFailed: none runs, it is not for tests, or not all its parts are its own.
    """
    up = up_file.read(data_dir)
    if up is None:
        raise CommandFailed(
            f"no stack runs on {data_dir.absolute()}: start one with `make up` in another terminal"
        )
    if up.settings.get("PAIDUP_LIVEMODE") == "live":
        raise CommandFailed("the stack takes live events: drills break test stacks only")
    if foreign := [part for part in PARTS if part not in up.pids]:
        raise CommandFailed(
            f"{', '.join(foreign)} is not run by this `paidup up`, or has ended:"
            " drills break only what it started"
        )
    return up


@contextmanager
def repeatedly(step: Callable[[Event], None]) -> Iterator[None]:
    """Run a step at once and again and again in a thread, for the time of a block.

    A step that waits ends when the event is set that it is given.
    """
    stopped = Event()
    step(stopped)
    thread = start_loop("drill", lambda: step(stopped), pause=lambda: LOOK_SECONDS, stopped=stopped)
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def lifecycle(scenario: str, *, user: str | None = None) -> Lifecycle:
    """Return the events of a sample lifecycle that no one has sent before."""
    return compose(
        scenario,
        shape=Shape.NEW,
        seed=secrets.token_hex(4),
        now=int(time.time()),
        user_id=user,
    )


class _Frozen:
    """Processes that are stopped and still have all their connections."""

    def __init__(self) -> None:
        self._pids: set[int] = set()

    def freeze(self, pids: Sequence[int]) -> None:
        """Freeze processes; a second time changes nothing."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                self._pids.add(pid)

    def thaw(self) -> None:
        """Continue them all."""
        for pid in self._pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def _frozen() -> Iterator[_Frozen]:
    frozen = _Frozen()
    try:
        yield frozen
    finally:
        frozen.thaw()


def _with_children(pid: int) -> list[int]:
    """Return a process before its children, so that it replaces none of them meanwhile."""
    return [pid, *(each for child in children_of(pid) for each in _with_children(child))]


def _until(
    condition: Callable[[], bool], why: str, pause: Callable[[float], None], seconds: float
) -> None:
    ends_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends_at:
            raise TimeoutError(f"not within {seconds:.0f} s: {why}")
        pause(LOOK_SECONDS)
