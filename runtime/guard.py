"""Keep loops alive in threads and in the supervisor, since nothing would restart them.

An error that ended such a loop would go unnoticed until the next restart, and with it what the loop
protects. Too many open files for one moment are enough. So every loop runs its steps by a guard.
"""

import errno
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import structlog

log = structlog.stdlib.get_logger(__name__)

_ADVICE: Final[Mapping[int | None, str]] = {
    errno.EMFILE: "raise the process' limit of open files (ulimit -n)",
    errno.ENFILE: "raise the system's limit of open files (fs.file-max)",
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room on the disk, or raise the quota",
    errno.EROFS: "mount the disk writable",
    errno.EAGAIN: "raise the limit of processes (ulimit -u)",
    errno.ENOMEM: "give the machine more memory",
}
_OTHERWISE: Final = "it is tried again; if it lasts, report it as a bug with this traceback"


class Guard:
    """Runs the steps of one loop; logs the first of several errors in a row, and their end."""

    def __init__(self, loop: str) -> None:
        """Take the name of the loop, for the log."""
        self._loop = loop
        self._failing = False

    def run(self, step: Callable[[], object], *, passing: tuple[type[Exception], ...] = ()) -> bool:
        """Call ``step``, and return True unless it raised.

        Raises:
            Exception: only the kinds in ``passing``, which the caller handles.
        """
        try:
            step()
        except passing:
            raise
        except Exception as error:  # noqa: BLE001 - the loop goes on after any error
            self._report(error)
            return False
        if self._failing:
            self._failing = False
            log.info("works again", loop=self._loop)
        return True

    def _report(self, error: Exception) -> None:
        if self._failing:
            return
        self._failing = True
        with suppress(Exception):  # a log that cannot be written must not end the loop either
            log.error(
                "a step failed; the loop goes on",
                loop=self._loop,
                error=f"{type(error).__name__}: {error}",
                todo=_ADVICE.get(getattr(error, "errno", None), _OTHERWISE),
                exc_info=error,
            )


def repeat(
    loop: str,
    step: Callable[[], object],
    *,
    pause: Callable[[], float],
    stopped: threading.Event,
) -> None:
    """Call ``step`` after each pause of ``pause()`` seconds until stopped, also after an error."""
    guard = Guard(loop)
    while not stopped.wait(pause()):
        guard.run(step)


def start_loop(
    loop: str,
    step: Callable[[], object],
    *,
    pause: Callable[[], float],
    stopped: threading.Event,
) -> threading.Thread:
    """Start ``repeat`` in a thread of its own that does not keep the process alive."""
    thread = threading.Thread(
        target=repeat,
        args=(loop, step),
        kwargs={"pause": pause, "stopped": stopped},
        name=loop,
        daemon=True,
    )
    thread.start()
    return thread
