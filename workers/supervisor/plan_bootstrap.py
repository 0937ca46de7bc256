"""Gives a database its first plans, where nobody ran ``paidup migrate`` with the document at hand.

Only a database without any catalogue of record gets one, and only once: a document that differs
later changes nothing.
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

log = structlog.get_logger(__name__)

REST_SECONDS: Final = 5.0
"""Between two looks, while there is no catalogue; events wait parked meanwhile."""

WORKER: Final = "worker"


class FirstPlans:
    """A duty of the rounds; ``clock`` is monotonic seconds."""

    def __init__(self, engine: Engine, path: Path, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._path = path
        self._clock = clock
        self._look_at = clock()
        self._there = False
        self._said: str | None = None

    def provide(self) -> None:
        """Install the document if there is no catalogue; from then on do nothing."""
        if self._there or self._clock() < self._look_at:
            return
        self._look_at = self._clock() + REST_SECONDS
        try:
            if schema.problem(self._engine) is None:
                self._there = self._is_there() or self._install()
        except SQLAlchemyError:
            # A server that is away is told of, and waited for, by the sweeper and the drainers.
            return

    def _is_there(self) -> bool:
        with self._engine.connect() as connection:
            return catalogues.newest(connection) is not None

    def _install(self) -> bool:
        try:
            plans = read_plans(self._path)
        except (PlansMissing, InvalidCatalogue) as error:
            self._say_once(str(error))
            return False
        actor = f"{WORKER}:{socket.gethostname()}"
        reason = f"first plans, from {self._path.name}"
        if catalogues.install_first(self._engine, plans, actor=actor, reason=reason, origin=WORKER):
            log.info("first plans installed", file=str(self._path), version=1)
        return True

    def _say_once(self, why: str) -> None:
        if why != self._said:
            self._said = why
            log.error("no plans of record, so nothing is applied and events wait", why=why)
