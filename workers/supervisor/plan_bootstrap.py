"""Install the first plans in a database where ``paidup migrate`` ran without the plans file.

Only a database without any catalogue gets one, and only once: a file that differs later changes
nothing.
"""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from billing.errors import InvalidCatalogue
from runtime import schema
from runtime.ledger import catalogues
from runtime.plans_file import PlansMissing, read_plans
from runtime.time_limits import FIRST_PLANS_SECONDS

log = structlog.get_logger(__name__)

WORKER: Final = "worker"


class PlanBootstrap:
    """A periodic job; ``clock`` is monotonic seconds."""

    def __init__(self, engine: Engine, path: Path, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._path = path
        self._clock = clock
        self._check_at = clock()
        self._installed = False
        self._reported: str | None = None

    def provide(self) -> None:
        """Install the plans file if there is no catalogue; from then on do nothing."""
        if self._installed or self._clock() < self._check_at:
            return
        self._check_at = self._clock() + FIRST_PLANS_SECONDS
        try:
            if schema.problem(self._engine) is None:
                self._installed = self._exists() or self._install()
        except SQLAlchemyError:
            # The sweeper and the drainers report and wait for an unreachable server.
            return

    def _exists(self) -> bool:
        with self._engine.connect() as connection:
            return catalogues.newest_version(connection) is not None

    def _install(self) -> bool:
        try:
            plans = read_plans(self._path)
        except (PlansMissing, InvalidCatalogue) as error:
            self._report_once(str(error))
            return False
        actor = f"{WORKER}:{socket.gethostname()}"
        reason = f"first plans, from {self._path.name}"
        if catalogues.install_first(self._engine, plans, actor=actor, reason=reason, origin=WORKER):
            log.info("first plans installed", file=str(self._path), version=1)
        return True

    def _report_once(self, why: str) -> None:
        if why != self._reported:
            self._reported = why
            log.error("no plans are installed: events wait until they are", why=why)
