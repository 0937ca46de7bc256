"""Restart parts of a stack that ended, with a backoff for those that end soon after a start.

A part that does not start is tried again for as long as the stack runs. Each line about it is said
once until the part has lived for a while.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ops.up.servers.errors import ServerError
from ops.up.servers.process import Process

_MIN_SECONDS, _MAX_SECONDS = 0.5, 10.0
_YOUNG_SECONDS = 30.0


@dataclass(slots=True)
class _Watched:
    part: Process
    started: float
    wait: float = _MIN_SECONDS
    due: float | None = None
    said: set[str] = field(default_factory=set)


class RestartPolicy:
    """Restarts the watched parts of a stack; a part is watched once it is ready."""

    def __init__(
        self, *, say: Callable[[str], None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._monotonic = monotonic
        self._watched: list[_Watched] = []

    def watch(self, part: Process) -> None:
        """Restart the part from now on when it ends."""
        self._watched.append(_Watched(part, started=self._monotonic()))

    def forget_all(self) -> None:
        """Stop watching all parts, because the stack stops."""
        self._watched.clear()

    def alive(self) -> list[Process]:
        """Return the parts that are running."""
        return [watched.part for watched in self._watched if watched.part.is_alive()]

    def restart_ended(self) -> bool:
        """Check every part once; return True if one was restarted."""
        dead = [watched for watched in self._watched if not watched.part.is_alive()]
        for watched in dead:
            if watched.due is None:
                self._plan(watched)
        due = [w for w in dead if w.due is not None and w.due <= self._monotonic()]
        return sum(self._revive(watched) for watched in due) > 0

    def _plan(self, watched: _Watched) -> None:
        part, now = watched.part, self._monotonic()
        young = now - watched.started < _YOUNG_SECONDS
        watched.wait = min(watched.wait * 2, _MAX_SECONDS) if young else _MIN_SECONDS
        watched.due = now + watched.wait
        if not young:
            watched.said.clear()
        self._say_once(
            watched,
            f"{part.name} ended ({_how(part.exit_code)}) and will be restarted; see {part.log}",
        )

    def _say_once(self, watched: _Watched, line: str) -> None:
        if line not in watched.said:
            watched.said.add(line)
            self._say(line)

    def _revive(self, watched: _Watched) -> bool:
        watched.due = None
        watched.started = self._monotonic()
        try:
            watched.part.start()
        except ServerError as error:
            self._say_once(watched, str(error))
            return False
        except OSError as error:  # a full disk, too many open files: the other parts go on
            line = f"{watched.part.name} cannot be restarted and is tried again: {error}"
            self._say_once(watched, line)
            return False
        return True


def _how(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"signal {-exit_code}"
    return f"exit code {exit_code}"
