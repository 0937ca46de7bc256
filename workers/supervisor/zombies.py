"""Reap processes that the supervisor inherits where it is the first process of a container.

The kernel gives orphans to process 1: the children of a pool that was killed, or what a health
check left behind. Only their parent can remove them from the process table once they have ended.
"""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from runtime.time_limits import ZOMBIE_LOOK_SECONDS

FIRST_PROCESS: Final = 1
_PROC: Final = Path("/proc")


class ZombieReaper:
    """Reaps ended children, except those that ``own`` names; ``clock`` is monotonic seconds.

    It reaps what had ended at the look before, too. So code that starts a process and waits for it
    gets its exit code, even if ``own`` does not name it.
    """

    def __init__(
        self,
        own: Callable[[], Collection[int | None]],
        clock: Callable[[], float],
        *,
        first: bool | None = None,
    ) -> None:
        self._own = own
        self._clock = clock
        self._inherits = os.getpid() == FIRST_PROCESS if first is None else first
        self._ended = frozenset[int]()
        self._look_at = 0.0

    def reap_if_due(self) -> None:
        """Look for ended children every two seconds; call this a few times a second."""
        if not self._inherits or self._clock() < self._look_at:
            return
        self._look_at = self._clock() + ZOMBIE_LOOK_SECONDS
        ended = frozenset(_ended_children()) - frozenset(self._own())
        for pid in ended & self._ended:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._ended = ended - self._ended


def _ended_children() -> Iterator[int]:
    for stat in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name before these fields may hold spaces and brackets.
            state, parent, *_ = stat.read_text().rpartition(")")[2].split()
            if state == "Z" and int(parent) == os.getpid():
                yield int(stat.parent.name)
