"""Start the peers through their documented interfaces, on the same two servers.

``WHAT_THEY_DO`` says what each peer does and does not do; the table prints it.
"""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import create_engine

from bench.machine import SECRET, BenchMachine, environ_of
from bench.stub import EVENTS_VARIABLE, SEPARATOR
from bench.usual.tables import UsualBase
from ops.up.servers.ports import free_port
from runtime import webhook_path

HOST: Final = "127.0.0.1"
HERE: Final = Path(__file__).parent
INSTALLED: Final = HERE.parent / ".bench"
"""The folder in which ``bench/setup`` installs the peers."""

LOG: Final = INSTALLED / "peers.log"
"""The log of all peers."""

_NODE: Final = INSTALLED / "node"
_DJANGO: Final = INSTALLED / "djstripe" / "bin"
_ENDPOINT: Final = "00000000-0000-4000-8000-000000000000"
_START_SECONDS: Final = 60.0

WHAT_THEY_DO: Final = {
    "the usual handler": (
        "Flask and Celery with their defaults, one ORM session for each event: skips what it has"
        " processed and keeps four tables; applies events in the order they come, so a late one"
        " undoes a newer one, and loses what Celery loses when a worker dies."
    ),
    "dj-stripe": (
        "2.11, gunicorn with two processes of four threads: keeps every request and event and"
        " fetches each object again from Stripe's API (here on loopback, within a millisecond)"
        " inside the request; decides no entitlement, keeps no audit, has no queue."
    ),
    "stripe-sync-engine": (
        "0.48, one Node process: upserts Stripe's objects inside the request, newer ones winning"
        " by timestamp; does not know which events it had, decides no entitlement, keeps no audit,"
        " has no queue and no transaction around what one event writes."
    ),
    "202 doing nothing": (
        "Our server and framework, answering at once: reads no body, keeps nothing."
    ),
    "one Redis write": (
        "The same with one LPUSH of the body, flushed to disk: checks no signature, parses"
        " nothing, knows no duplicate."
    ),
    "one psycopg pipeline": (
        "One connection that inserts the rows Paidup wrote for these events, prepared beforehand,"
        " a hundred events in a transaction: reads nothing, locks nothing, decides nothing."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The URL of a peer, and the way to count its finished events."""

    port: int
    path: str = webhook_path.DEFAULT
    database_url: str = ""
    table: str = ""
    """The table with one row for each finished event; without one the answer tells."""


class PeerMissing(Exception):
    """A peer is not installed."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not installed: run bench/setup, or leave it out: --no-peers")


def require_installed() -> None:
    """Check that every peer is installed, before an hour is spent without one.

    Raises:
        PeerMissing: naming the first that is missing, and what to do.
    """
    if not (_DJANGO / "gunicorn").exists():
        raise PeerMissing("dj-stripe")
    if not (_NODE / "node_modules" / "@supabase" / "stripe-sync-engine").exists():
        raise PeerMissing("stripe-sync-engine")


USUAL: Final = "usual"
SYNC_ENGINE: Final = "sync_engine"
"""The databases of two peers before a round, which copies them."""


def prepare_usual(machine: BenchMachine) -> str:
    """Create the database of the usual handler once, and return its URL; every round copies it."""
    database = machine.database(USUAL)
    engine = create_engine(_of_psycopg(database))
    UsualBase.metadata.create_all(engine)
    engine.dispose()
    return database


def prepare(machine: BenchMachine) -> None:
    """Migrate the other peers' databases once; every round copies them."""
    own = machine.database("djstripe")
    _run([_DJANGO / "python", "-m", "bench.djstripe.prepare"], _django(own, api_port=0))
    machine.database(SYNC_ENGINE)
    _run(["node", HERE / "sync_engine" / "server.cjs", "migrate"], _sync(machine, SYNC_ENGINE, 0))


@contextmanager
def usual(machine: BenchMachine, database: str) -> Iterator[Peer]:
    """Run the usual handler on a database, with two worker processes."""
    environ = {
        "USUAL_REDIS_URL": machine.redis_url(5),
        "USUAL_DATABASE_URL": _of_psycopg(database),
        "USUAL_SECRET": SECRET,
    }
    worker = [sys.executable, "-m", "celery", "-A", "bench.usual.tasks", "worker", "-c", "2"]
    with ExitStack() as stopping:
        stopping.enter_context(_process([*worker, "-l", "warning"], environ))
        port = stopping.enter_context(_wsgi("bench.usual.web:app", environ))
        yield Peer(port=port, database_url=database, table="processed_events")


@contextmanager
def djstripe(machine: BenchMachine, events: Sequence[bytes]) -> Iterator[Peer]:
    """Run dj-stripe on a copy of its migrated database; the stub answers its API calls."""
    database = machine.database("djstripe_round", like="djstripe")
    port = free_port()
    with _stub(machine, events) as api_port:
        environ = _django(database, api_port)
        options = ["-w", "2", "-k", "gthread", "--threads", "4", "--keep-alive", "60"]
        where = ["--log-level", "error", "-b", f"{HOST}:{port}"]
        application = "django.core.wsgi:get_wsgi_application()"
        with _process([_DJANGO / "gunicorn", *options, *where, application], environ):
            _wait_for(port)
            yield Peer(port=port, path=f"/stripe/webhook/{_ENDPOINT}/")


@contextmanager
def sync_engine(machine: BenchMachine, name: str, events: Sequence[bytes]) -> Iterator[Peer]:
    """Run stripe-sync-engine on the database of a name; the stub answers for line items."""
    port = free_port()
    with _stub(machine, events) as api_port:
        environ = {**_sync(machine, name, api_port), "SYNC_PORT": str(port)}
        with _process(["node", HERE / "sync_engine" / "server.cjs"], environ):
            _wait_for(port)
            yield Peer(port=port)


@contextmanager
def limit(machine: BenchMachine, kind: str) -> Iterator[Peer]:
    """Run the same server and framework with almost nothing behind: ``nothing`` or ``redis``."""
    environ = {"LIMIT_REDIS_URL": machine.redis_url(6)}
    with _wsgi(f"bench.limit.{kind}:app", environ) as port:
        yield Peer(port=port)


def _of_psycopg(database: str) -> str:
    return database.replace("postgresql://", "postgresql+psycopg://")


def _django(database: str, api_port: int) -> dict[str, str]:
    return {
        "DJANGO_SETTINGS_MODULE": "bench.djstripe.settings",
        "DJSTRIPE_DATABASE_URL": database,
        "DJSTRIPE_API": f"http://{HOST}:{api_port}",
        "DJSTRIPE_ENDPOINT": _ENDPOINT,
        "DJSTRIPE_SECRET": SECRET,
        "PYTHONPATH": str(HERE.parent),
        "PYTHONWARNINGS": "ignore",
    }


def _sync(machine: BenchMachine, database: str, api_port: int) -> dict[str, str]:
    # Its migrations name a role ``postgres``, so they run as that role.
    return {
        "SYNC_DATABASE_URL": machine.postgres.admin_url.rpartition("/")[0] + f"/{database}",
        "SYNC_API": f"http://{HOST}:{api_port}",
        "SYNC_PACKAGES": str(_NODE),
        "SYNC_SECRET": SECRET,
    }


@contextmanager
def _stub(machine: BenchMachine, events: Sequence[bytes]) -> Iterator[int]:
    known = machine.folder / "events"
    known.write_bytes(SEPARATOR.join(events))
    with _wsgi("bench.stub:make_app", {EVENTS_VARIABLE: str(known)}, "--factory") as port:
        yield port


@contextmanager
def _wsgi(target: str, environ: Mapping[str, str], *options: str) -> Iterator[int]:
    port = free_port()
    server = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", HOST]
    threads = ["--port", str(port), "--workers", "2", "--blocking-threads", "32"]
    with _process([*server, *threads, "--log-level", "error", *options, target], environ):
        _wait_for(port)
        yield port


@contextmanager
def _process(command: Sequence[str | Path], environ: Mapping[str, str]) -> Iterator[None]:
    INSTALLED.mkdir(exist_ok=True)
    with LOG.open("ab") as log:
        words = [str(word) for word in command]
        process = subprocess.Popen(words, env=environ_of(environ), stdout=log, stderr=log)  # noqa: S603
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _run(command: Sequence[str | Path], environ: Mapping[str, str]) -> None:
    subprocess.run([str(word) for word in command], env=environ_of(environ), check=True)  # noqa: S603


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=5)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    message = f"nothing answers on port {port}"
    raise TimeoutError(message)
