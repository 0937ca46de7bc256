"""Start again what has died, a little later every time it dies young."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ops.up.servers.errors import ServerError
from ops.up.servers.process import Process

_LEAST_SECONDS, _MOST_SECONDS = 0.5, 10.0
_YOUNG_SECONDS = 30.0


@dataclass(slots=True)
class _Watched:
    part: Process
    started: float
    wait: float = _LEAST_SECONDS
    due: float | None = None


class Tending:
    """The parts of a stack, each watched from the moment it first did its work."""

    def __init__(
        self, *, say: Callable[[str], None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._monotonic = monotonic
        self._watched: list[_Watched] = []

    def watch(self, part: Process) -> None:
        """Keep it alive from now on."""
        self._watched.append(_Watched(part, started=self._monotonic()))

    def forget_all(self) -> None:
        """Let them end: the stack stops."""
        self._watched.clear()

    def alive(self) -> list[Process]:
        """The parts that run at this moment."""
        return [watched.part for watched in self._watched if watched.part.is_alive()]

    def tend(self) -> bool:
        """One look at every part; says whether one was started anew."""
        dead = [watched for watched in self._watched if not watched.part.is_alive()]
        for watched in dead:
            if watched.due is None:
                self._plan(watched)
        due = [w for w in dead if w.due is not None and w.due <= self._monotonic()]
        return sum(self._revive(watched) for watched in due) > 0

    def _plan(self, watched: _Watched) -> None:
        part, now = watched.part, self._monotonic()
        young = now - watched.started < _YOUNG_SECONDS
        watched.wait = min(watched.wait * 2, _MOST_SECONDS) if young else _LEAST_SECONDS
        watched.due = now + watched.wait
        self._say(
            f"{part.name} ended ({_how(part.exit_code)}) and is started again; see {part.log}"
        )

    def _revive(self, watched: _Watched) -> bool:
        watched.due = None
        watched.started = self._monotonic()
        try:
            watched.part.start()
        except ServerError as error:
            self._say(str(error))
            return False
        return True


def _how(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"signal {-exit_code}"
    return f"exit code {exit_code}"
