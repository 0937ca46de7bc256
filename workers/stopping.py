"""How long a stop may take, and how the pool's main process tells its children of one.

Celery's warm shutdown waits for running tasks but does not tell them. One byte of memory shared
over the fork does: drainers look at it between batches, so a stop takes one batch and not five
seconds.
"""

import mmap
from typing import Final

GRACE_SECONDS: Final = 85.0
"""Longer than any batch, and than the 30 s a Celery child may wait for its parent at the end."""


class StopFlag:
    """Made before the fork; raised in the parent, seen in every child."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)

    def raise_(self) -> None:
        """Ask every drainer to end after the batch in its hands."""
        self._shared[0] = 1

    def is_raised(self) -> bool:
        """Whether the pool is about to stop."""
        return self._shared[0] != 0
