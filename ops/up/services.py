"""Ingest, the worker and the console as processes of a stack."""

import json
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError

from ops.up.servers.process import Process
from runtime.import_path import importing_ours
from runtime.settings import VARIABLES

_ANSWER_SECONDS = 2.0

SECRETS = frozenset(variable.name for variable in VARIABLES if variable.secret)
_OF_REDIS = frozenset({"REDIS_URL", "CELERY_BROKER_URL"})


class Service(Process):
    """A service of Paidup, started as a module, and ready when a URL answers 200."""

    module: str
    secrets: frozenset[str]
    """The secret variables that it needs; it is given no other."""

    def __init__(self, *, data_dir: Path, environ: Mapping[str, str], ready_url: str) -> None:
        super().__init__(
            folder=Path.cwd(), run=data_dir / "run", log=data_dir / "log" / f"{self.name}.log"
        )
        self._environ = environ
        self._ready_url = ready_url
        self._unsafe: tuple[str, ...] = ()

    def command(self) -> Sequence[str | Path]:
        """Return the argument vector."""
        return [sys.executable, "-m", self.module]

    def environ(self) -> Mapping[str, str]:
        """Return the operator's environment with the stack's decisions, without foreign secrets."""
        withheld = SECRETS - self.secrets
        kept = {
            name: value
            for name, value in self._environ.items()
            if name.removesuffix("_FILE") not in withheld
        }
        return importing_ours(kept)

    def is_ready(self) -> bool:
        """Return True if the URL answers 200; it is local, so no proxy is used."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(self._ready_url, timeout=_ANSWER_SECONDS) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except HTTPError as refused:
            self._unsafe = _unsafe_in(refused)
            return False
        except OSError:
            return False

    def why_not_ready(self) -> str:
        """Return what its readiness probe named as unsafe."""
        return "; ".join(self._unsafe)


def _unsafe_in(refused: HTTPError) -> tuple[str, ...]:
    try:
        return tuple(map(str, json.loads(refused.read())["unsafe"]))
    except (OSError, ValueError, LookupError, TypeError):
        return ()


class IngestService(Service):
    """Ingest, stopped first, so that no event comes in after the worker stopped."""

    name = "ingest"
    module = "ingest"
    secrets = _OF_REDIS | {"STRIPE_WEBHOOK_SECRET"}
    turn = 0
    stop_seconds = 20.0


class ConsoleService(Service):
    """The console, stopped with ingest: it has no state."""

    name = "console"
    module = "ops.console"
    secrets = _OF_REDIS | {
        "DATABASE_URL",
        "PAIDUP_CONSOLE_SECRET",
        "PAIDUP_CONSOLE_TOKENS",
        "PAIDUP_OIDC_CLIENT_SECRET",
    }
    turn = 0
    stop_seconds = 20.0


class WorkerService(Service):
    """The worker, stopped second: it finishes running batches while its servers still run."""

    name = "worker"
    module = "workers"
    secrets = _OF_REDIS | {"DATABASE_URL", "STRIPE_API_KEY"}
    turn = 1
    stop_seconds = 90.0
