"""Ingest, the worker and the console as processes of a stack."""

import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

from ops.up.replace_process import service_command, service_environ
from ops.up.servers.process import Process

_ANSWER_SECONDS = 2.0


class Service(Process):
    """A process of ours, started by its entry point, that is ready when an address says so."""

    module: str

    def __init__(self, *, data_dir: Path, environ: Mapping[str, str], ready_url: str) -> None:
        super().__init__(
            folder=Path.cwd(), run=data_dir / "run", log=data_dir / "log" / f"{self.name}.log"
        )
        self._environ = environ
        self._ready_url = ready_url

    def command(self) -> Sequence[str | Path]:
        """Its entry point."""
        return service_command(self.module)

    def environ(self) -> Mapping[str, str]:
        """The operator's environment, completed with what the stack decided."""
        return service_environ(self._environ)

    def is_ready(self) -> bool:
        """Whether the address answers 200; our own processes listen there, so no proxy is asked."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with suppress(OSError), direct.open(self._ready_url, timeout=_ANSWER_SECONDS) as answer:
            return bool(answer.status == HTTPStatus.OK)
        return False


class Ingest(Service):
    """Stopped first, so that nothing comes in that nobody would apply."""

    name = "ingest"
    module = "ingest"
    turn = 0
    stop_seconds = 20.0


class Console(Service):
    """Stopped with ingest: it holds nothing."""

    name = "console"
    module = "ops.console"
    turn = 0
    stop_seconds = 20.0


class Worker(Service):
    """Stopped second: it finishes what runs, while its servers still stand."""

    name = "worker"
    module = "workers"
    turn = 1
    stop_seconds = 90.0
