"""The HTTP server around an application: granian in WSGI mode, and what its defaults get wrong.

Measured on Flask it takes 1.6 to 2.5 times what gunicorn does. A worker that dies is not renewed
unless asked for. A half-sent body holds one of its threads, so there must be many in each
process (``patience`` ends them after 10 s), as many connections as threads, and a stop kills
what does not end in time. When it gives up because workers die too fast, it is started again.
"""

import errno
import multiprocessing
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final, Protocol

import structlog
from flask import Flask
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from runtime.metrics_files import InstanceRunning, claimed_folder, fold_dead
from runtime.settings import Address, Settings, SettingsError
from runtime.telemetry import configure_logging

STOP_SECONDS: Final = 5
"""What a stop leaves to requests under way; any supervisor's grace must be longer."""

_HEADER_BYTES: Final = 64 * 1024
_FOLD_SECONDS: Final = 30.0
_RESTART_SECONDS: Final = 1.0
_LEFT_OVER_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 0.1
_QUIET: Final[dict[str, Any]] = {
    "formatters": {},
    "handlers": {},
    "loggers": {"_granian": {"propagate": True}},
}

log = structlog.stdlib.get_logger(__name__)


class AddressTaken(Exception):
    """The address cannot be listened on; another process may do so already."""

    def __init__(self, variable: str, address: Address, reason: str) -> None:
        self.address = address
        super().__init__(f"{variable}: cannot listen on {address}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What a kind of server is called, where it listens, and how much one process holds.

    ``idle_seconds`` is how long it waits for the next request on a connection.
    """

    name: str
    variable: str
    address: Callable[[Settings], Address]
    processes: Callable[[Settings], int]
    threads: int
    idle_seconds: int


class StartsProcess(Protocol):
    """Builds the application in a server process; a function of a module, so that it travels."""

    def __call__(self, settings: Settings, port: int, launcher: int) -> Flask:
        """The application, with everything that watches beside it started."""
        ...


def main(kind: Server, start: StartsProcess, usable: Callable[[Settings], Settings]) -> int:
    """Serve until stopped; 0 after a stop, 1 where it cannot start, 2 where it is set up wrong."""
    try:
        settings = usable(Settings.from_env(os.environ))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging(sys.stderr, level=settings.log_level)
    # Server processes import everything anew, after the metrics folder is known.
    multiprocessing.set_start_method("spawn")
    try:
        run(kind, start, settings, os.environ)
    except (AddressTaken, InstanceRunning, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def run(
    kind: Server, start: StartsProcess, settings: Settings, environ: MutableMapping[str, str]
) -> None:
    """Serve until a signal says stop.

    Raises:
        AddressTaken: the address cannot be bound.
        InstanceRunning: another instance has this one's metrics folder.
    """
    bound, processes = bindable(kind.variable, kind.address(settings)), kind.processes(settings)
    folder = settings.data_dir / f"metrics-{kind.name}-{bound.port}"
    _allow_open_files(4 * kind.threads)
    with claimed_folder(folder, environ), _folding(folder):
        log.info("server starting", server=kind.name, url=f"http://{bound}", processes=processes)
        loader = partial(start, settings, bound.port, os.getpid())
        _serve_until_stopped(lambda: _server(kind, bound, processes), loader, settings.log_level)
        log.info("server stopped", server=kind.name)


def bindable(
    variable: str, address: Address, *, patience_seconds: float = _LEFT_OVER_SECONDS
) -> Address:
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
                raise AddressTaken(variable, address, error.strerror or str(error)) from error
        sleep(_LOOK_SECONDS)


def _bound(address: Address) -> Address:
    family, kind, _, _, target = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(target)
        return Address(*probe.getsockname()[:2])


def _serve_until_stopped(
    build: Callable[[], MPServer], loader: Callable[[], Flask], log_level: str
) -> None:
    while True:
        server = build()
        configure_logging(sys.stderr, level=log_level)  # granian's own would add handlers
        with suppress(SystemExit):
            server.serve(target_loader=loader, wrap_loader=False)
        if server.interrupt_signal:
            return
        log.error("server gave up, starting it again", after_seconds=_RESTART_SECONDS)
        if _stopped_within(_RESTART_SECONDS):
            return


def _server(kind: Server, address: Address, processes: int) -> MPServer:
    return MPServer(
        kind.name,
        address=address.host,
        port=address.port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=processes,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
        blocking_threads=kind.threads,
        backpressure=kind.threads,
        backlog=2 * kind.threads,
        http1_settings=HTTP1Settings(
            header_read_timeout=kind.idle_seconds * 1000, max_buffer_size=_HEADER_BYTES
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


def _allow_open_files(number: int) -> None:
    """A connection from a client and one to a server behind us for each thread, and some more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
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
