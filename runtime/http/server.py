"""Run an application in granian, in WSGI mode, and correct granian's defaults.

Measured on Flask, granian serves 1.6 to 2.5 times the requests of gunicorn. By default it does not
replace a worker that dies. A half-sent body holds one of its threads, so each process has many
(``stalled_connections`` frees them after 10 s) and as many connections as threads. A stop kills
requests that do not end in time. When granian gives up because workers die too fast, it is
started again.
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
from typing import Any, Final

import structlog
from flask import Flask
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from runtime.guard import start_loop
from runtime.metrics_files import InstanceRunning, claimed_folder, fold_dead
from runtime.metrics_room import FOLDER_PREFIX
from runtime.settings import Address, Settings, SettingsError
from runtime.telemetry import configure_logging
from runtime.time_limits import PORT_SECONDS, SERVER_RESTART_SECONDS, SERVER_STOP_SECONDS

_HEADER_BYTES: Final = 64 * 1024
_FOLD_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.1
_QUIET: Final[dict[str, Any]] = {
    "formatters": {},
    "handlers": {},
    "loggers": {"_granian": {"propagate": True}},
}

log = structlog.stdlib.get_logger(__name__)


class CannotListen(Exception):
    """The address cannot be bound; another process may listen there already."""

    def __init__(self, variable: str, address: Address, reason: str) -> None:
        self.address = address
        super().__init__(f"{variable}: cannot listen on {address}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """The name, the address and the size of one kind of server.

    ``idle_seconds`` is the longest wait for the next request on a connection.
    """

    name: str
    variable: str
    address: Callable[[Settings], Address]
    processes: Callable[[Settings], int]
    threads: int
    idle_seconds: int


StartProcess = Callable[[Settings, int, int], Flask]
"""Build the application and start its threads, given settings, port and the launcher's process id.

It runs in a server process, so it must be a function of a module, which can be pickled.
"""


def main(kind: ServerSpec, start: StartProcess, check: Callable[[Settings], Settings]) -> int:
    """Serve until stopped. Return 0 after a stop, 1 if it cannot start, 2 for wrong settings."""
    try:
        settings = check(Settings.from_env(os.environ))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging(sys.stderr, level=settings.log_level)
    for says in settings.doubts:
        log.warning("a setting is probably wrong", setting=says)
    # Server processes import all modules again, after the metrics folder is known.
    multiprocessing.set_start_method("spawn")
    try:
        run(kind, start, settings, os.environ)
    except (CannotListen, InstanceRunning, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def run(
    kind: ServerSpec, start: StartProcess, settings: Settings, environ: MutableMapping[str, str]
) -> None:
    """Serve until a signal.

    Raises:
        AddressTaken: the address cannot be bound.
        InstanceRunning: another instance uses the metrics folder.
    """
    bound, processes = bindable(kind.variable, kind.address(settings)), kind.processes(settings)
    folder = settings.data_dir / f"{FOLDER_PREFIX}{kind.name}-{bound.port}"
    _allow_open_files(4 * kind.threads)
    with claimed_folder(folder, environ), _folding(folder):
        log.info("server starting", server=kind.name, url=f"http://{bound}", processes=processes)
        loader = partial(start, settings, bound.port, os.getpid())
        _serve_until_stopped(lambda: _server(kind, bound, processes), loader, settings.log_level)
        log.info("server stopped", server=kind.name)


def bindable(variable: str, address: Address, *, wait_seconds: float = PORT_SECONDS) -> Address:
    """Return the numeric address to listen on; port 0 becomes a free one.

    Raises:
        AddressTaken: the address cannot be bound. (Granian itself would share the port.)
    """
    deadline = monotonic() + wait_seconds
    while True:
        try:
            return _bound(address)
        except OSError as error:
            # After a kill of the launcher, its processes hold the port until they notice.
            if error.errno != errno.EADDRINUSE or monotonic() > deadline:
                raise CannotListen(variable, address, error.strerror or str(error)) from error
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
        reason = _serve(server, loader)
        if server.interrupt_signal:
            return
        log.error(
            "server gave up; restarting it", after_seconds=SERVER_RESTART_SECONDS, reason=reason
        )
        if _stopped_within(SERVER_RESTART_SECONDS):
            return


def _serve(server: MPServer, loader: Callable[[], Flask]) -> str:
    """Serve until a stop or a failure, and return why it ended; no server process is left."""
    try:
        server.serve(target_loader=loader, wrap_loader=False)
    except SystemExit:
        return "server processes die as soon as they have started"
    except OSError as error:  # too many open files or processes, for example
        with suppress(SystemExit):
            server.shutdown()  # type: ignore[no-untyped-call]
        return f"{type(error).__name__}: {error}"
    return "it was stopped"


def _server(kind: ServerSpec, address: Address, processes: int) -> MPServer:
    return MPServer(
        kind.name,
        address=address.host,
        port=address.port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=processes,
        respawn_failed_workers=True,
        workers_kill_timeout=SERVER_STOP_SECONDS,
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
    """Raise the limit of open files: one client and one backend connection for each thread."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def _folding(folder: Path) -> Iterator[None]:
    stopped = threading.Event()
    start_loop("fold", lambda: fold_dead(folder), pause=lambda: _FOLD_SECONDS, stopped=stopped)
    try:
        yield
    finally:
        stopped.set()
