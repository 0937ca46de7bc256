"""What a supervisor does once a second, in a thread beside the one that guards the pool."""

import threading
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

PERIOD_SECONDS: Final = 1.0


class Rounds(threading.Thread):
    """Runs each duty in turn, once a second, until stopped.

    While Redis is away a round is skipped and the next one tries again. Anything else that goes
    wrong is a mistake of ours: the thread ends, and the supervisor with it, loudly.
    """

    def __init__(
        self, duties: Sequence[Callable[[], None]], period_seconds: float = PERIOD_SECONDS
    ) -> None:
        super().__init__(name="rounds", daemon=True)
        self._duties = tuple(duties)
        self._period = period_seconds
        self._stop_asked = threading.Event()
        self._away = False

    def run(self) -> None:
        """The thread's body; the first round is at once."""
        while True:
            self._round()
            if self._stop_asked.wait(self._period):
                return

    def ask_to_stop(self) -> None:
        """Let the round in hand end, and begin no other."""
        self._stop_asked.set()

    def _round(self) -> None:
        try:
            for duty in self._duties:
                duty()
        except RedisError as error:
            if not self._away:
                log.warning("redis away", error=str(error))
            self._away = True
        else:
            if self._away:
                log.info("redis back")
            self._away = False
