"""Starts what is measured: our own stack, and the baselines on servers of the same kind."""

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import create_engine

from bench.usual.tables import Base
from ops.up import Stack
from runtime.servers.ports import free_port

SECRET = "whsec_" + "0" * 32
HOST = "127.0.0.1"


@contextmanager
def stack(processes: int) -> Iterator[Stack]:
    """Paidup as ``paidup up`` runs it, with servers and a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="paidup-bench-") as folder:
        os.chmod(folder, 0o755)  # noqa: S103, PTH101 - nobody runs PostgreSQL below it
        environ = {
            "PATH": os.environ["PATH"],
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "PAIDUP_WORKER_PROCESSES": str(processes),
            "PAIDUP_LOG_LEVEL": "warning",
            "PAIDUP_PLANS": str(Path("plans.toml").absolute()),
        }
        with Stack(Path(folder) / "data", environ, ports="free") as running:
            yield running


@contextmanager
def usual(running: Stack, processes: int) -> Iterator[int]:
    """The usual handler on the same two servers, in a schema and a Redis database of its own."""
    database = _own_schema(running)
    environ = {
        "USUAL_REDIS_URL": _own_redis(running.redis_url, 5),
        "USUAL_DATABASE_URL": database.replace("postgresql://", "postgresql+psycopg://"),
        "USUAL_SECRET": SECRET,
    }
    engine = create_engine(environ["USUAL_DATABASE_URL"])
    Base.metadata.create_all(engine)
    engine.dispose()
    worker = ["-m", "celery", "-A", "bench.usual.tasks", "worker", "-c", str(processes)]
    with ExitStack() as stopping:
        stopping.enter_context(_process([*worker, "-l", "warning"], environ))
        yield stopping.enter_context(_web("bench.usual.web:app", environ))


@contextmanager
def limit(running: Stack) -> Iterator[int]:
    """The Flask application that does one Redis write."""
    with _web("bench.limit.web:app", {"LIMIT_REDIS_URL": _own_redis(running.redis_url, 6)}) as port:
        yield port


@contextmanager
def counting(database_url: str, table: str) -> Iterator[Callable[[], int]]:
    """How many rows a table has, asked on one connection: opening one takes longer than a batch."""
    query = f"select count(*) from {table}".encode()  # noqa: S608 - our own table names
    with psycopg.connect(database_url, autocommit=True) as connection:

        def count() -> int:
            row = connection.execute(query).fetchone()
            return int(row[0]) if row else 0

        yield count


def usual_database(running: Stack) -> str:
    """Where ``usual`` keeps its tables."""
    separator = "&" if "?" in running.database_url else "?"
    return f"{running.database_url}{separator}options=-csearch_path%3Dusual"


def _own_schema(running: Stack) -> str:
    with psycopg.connect(running.database_url, autocommit=True) as connection:
        connection.execute("drop schema if exists usual cascade")
        connection.execute("create schema usual")
    return usual_database(running)


def _own_redis(url: str, number: int) -> str:
    return f"{url.rpartition('/')[0]}/{number}"


@contextmanager
def _web(target: str, environ: Mapping[str, str]) -> Iterator[int]:
    port = free_port()
    server = ["-m", "granian", "--interface", "wsgi", "--host", HOST, "--port", str(port)]
    threads = ["--workers", "2", "--blocking-threads", "32", "--log-level", "error", target]
    with _process([*server, *threads], environ):
        _wait_for(port)
        yield port


@contextmanager
def _process(arguments: list[str], environ: Mapping[str, str]) -> Iterator[None]:
    command = [sys.executable, *arguments]
    process = subprocess.Popen(command, env={**os.environ, **environ})  # noqa: S603 - ours
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=1)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    message = f"nothing answers on port {port}"
    raise TimeoutError(message)
