"""End a process soon after its parent was killed, since nothing would restart or stop it.

The parent hands over its process id when it starts the child. A child that asked for it would ask
too late if the parent died meanwhile: it would get the id of the process that adopts orphans. The
comparison is exact on every Unix. While the parent lives, its id belongs to no other process.
Afterwards the child has another parent, which lives, so a new process with the old id is not
mistaken for it.
"""

import os
import signal
import time
from collections.abc import Mapping, MutableMapping
from threading import Thread
from typing import Final

from runtime.time_limits import PARENT_LOOK_SECONDS

PARENT_VARIABLE: Final = "PAIDUP_PARENT"
"""Set for a child by the process that starts it; taken out by the child, so not inherited."""


def with_parent(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a child of this process, with the id of this process."""
    return {**environ, PARENT_VARIABLE: str(os.getpid())}


def take_parent(environ: MutableMapping[str, str]) -> int:
    """Take the parent's id out of the environment; without one, return the current parent's."""
    return int(environ.pop(PARENT_VARIABLE, None) or os.getppid())


def end_with_parent(parent: int, *, grace_seconds: float) -> None:
    """End this process once ``parent`` is not its parent: by SIGTERM, then with its group.

    Only the leader of a group kills the whole group, its own children.
    """
    Thread(target=_watch, args=(parent, grace_seconds), name="parent-watch", daemon=True).start()


def _watch(parent: int, grace_seconds: float) -> None:
    # None of these calls can fail, so the loop needs no guard.
    while os.getppid() == parent:
        time.sleep(PARENT_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_seconds)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
