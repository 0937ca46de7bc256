"""The HTTP server around the application: granian in WSGI mode, and what its defaults get wrong.

Measured on Flask it takes 1.6 to 2.5 times what gunicorn does. A worker that dies is not renewed
unless asked for. A half-sent body holds one of its threads, so there are a thousand in each
process (``patience`` ends them after 10 s), as many connections as threads, and a stop kills
what does not end in time. When it gives up because workers die too fast, it is started again.
"""

import errno
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

import structlog
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from ingest.process import THREADS, start_process
from runtime.multiproc import claimed_folder, fold_dead
from runtime.settings import Address, Settings
from runtime.telemetry import configure_logging

STOP_SECONDS: Final = 5
"""What a stop leaves to requests under way; any supervisor's grace must be longer."""

_HEADER_SECONDS: Final = 10
_HEADER_BYTES: Final = 64 * 1024
_FOLD_SECONDS: Final = 30.0
_RESTART_SECONDS: Final = 1.0
_LEFT_OVER_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 0.1
_OPEN_FILES: Final = 4 * THREADS
_QUIET: Final[dict[str, Any]] = {
    "formatters": {},
    "handlers": {},
    "loggers": {"_granian": {"propagate": True}},
}

log = structlog.stdlib.get_logger(__name__)


class AddressTaken(Exception):
    """The address cannot be listened on; another process may do so already."""

    def __init__(self, address: Address, reason: str) -> None:
        self.address = address
        super().__init__(f"PAIDUP_INGEST_BIND: cannot listen on {address}: {reason}")


def run(settings: Settings, environ: MutableMapping[str, str]) -> None:
    """Serve until a signal says stop.

    Raises:
        AddressTaken: the address cannot be bound.
        InstanceRunning: another instance has this one's metrics folder.
    """
    address = bindable(settings.ingest_bind)
    folder = settings.data_dir / f"metrics-ingest-{address.port}"
    _allow_open_files()
    with claimed_folder(folder, environ), _folding(folder):
        log.info("ingest starting", url=f"http://{address}", processes=settings.ingest_processes)
        _serve_until_stopped(settings, address)
        log.info("ingest stopped")


def bindable(address: Address, *, patience_seconds: float = _LEFT_OVER_SECONDS) -> Address:
    """The numeric address to listen on, a free port chosen where 0 was asked for.

    Raises:
        AddressTaken: nobody could listen there. (The server itself would share the port.)
    """
    deadline = monotonic() + patience_seconds
    while True:
        try:
            return _bound(address)
        except OSError as error:
            # Processes whose launcher was killed hold the port until they notice.
            if error.errno != errno.EADDRINUSE or monotonic() > deadline:
                raise AddressTaken(address, error.strerror or str(error)) from error
        sleep(_LOOK_SECONDS)


def _bound(address: Address) -> Address:
    family, kind, _, _, target = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(target)
        return Address(*probe.getsockname()[:2])


def _serve_until_stopped(settings: Settings, address: Address) -> None:
    while True:
        server = _server(settings, address)
        configure_logging(sys.stderr, level=settings.log_level)  # granian's own would add handlers
        loader = partial(start_process, settings, address.port, os.getpid())
        with suppress(SystemExit):
            server.serve(target_loader=loader, wrap_loader=False)
        if server.interrupt_signal:
            return
        log.error("server gave up, starting it again", after_seconds=_RESTART_SECONDS)
        if _stopped_within(_RESTART_SECONDS):
            return


def _server(settings: Settings, address: Address) -> MPServer:
    return MPServer(
        "ingest",
        address=address.host,
        port=address.port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=settings.ingest_processes,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
        blocking_threads=THREADS,
        backpressure=THREADS,
        backlog=2 * THREADS,
        http1_settings=HTTP1Settings(
            header_read_timeout=_HEADER_SECONDS * 1000, max_buffer_size=_HEADER_BYTES
        ),
        log_level=LogLevels.error,
        log_dictconfig=_QUIET,
    )


def _stopped_within(seconds: float) -> bool:
    signals = {signal.SIGTERM, signal.SIGINT}
    for number in signals:
        signal.signal(number, signal.default_int_handler)
    try:
        threading.Event().wait(seconds)
    except KeyboardInterrupt:
        return True
    return False


def _allow_open_files() -> None:
    """A connection from Stripe and one to Redis for each thread, and some more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def _folding(folder: Path) -> Iterator[None]:
    stopped = threading.Event()

    def fold() -> None:
        while not stopped.wait(_FOLD_SECONDS):
            fold_dead(folder)

    threading.Thread(target=fold, name="fold", daemon=True).start()
    try:
        yield
    finally:
        stopped.set()
