"""Stop the servers of a parent process that was killed.

A small process waits on a pipe whose other end only the parent holds. The pipe closes when the
parent ends, and the watch stops every process that still holds a pid file. (The kernel's
parent-death signal is bound to a thread, is lost on a change of user, and exists only on Linux.)
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from ops.up.servers import pidfile
from runtime.import_path import importing_ours

STOP_SECONDS = 20.0


class ParentWatch:
    """Held by the parent for as long as the processes under ``folder`` may run."""

    def __init__(self, folder: Path, *, remove: bool = False) -> None:
        """Start the watch; with ``remove`` it deletes the folder if the parent is killed."""
        self._child = subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
            [sys.executable, "-m", __name__, str(folder), *(["--remove"] if remove else [])],
            env=importing_ours(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self) -> None:
        """End the watch after every process was stopped in order."""
        self._child.kill()
        self._child.communicate()


def main(folder: str, *options: str) -> None:
    """Wait until the parent ends, then stop every process under the folder."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 64):
        pass
    pidfile.stop_all(Path(folder), seconds=STOP_SECONDS)
    if "--remove" in options:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
