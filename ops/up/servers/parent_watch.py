"""What stops our servers when the process that started them dies without a word.

A small process of its own waits on a pipe whose other end only the parent holds. The pipe ends
with the parent, however it ended, and the leash stops whatever still holds a pid file. (The
kernel's parent-death signal goes by thread, is lost on a change of user, and is Linux only.)
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


class Leash:
    """Held by the parent for as long as the processes under ``folder`` may live."""

    def __init__(self, folder: Path, *, remove: bool = False) -> None:
        """``remove`` says that the folder is temporary and goes when the parent dies hard."""
        self._child = subprocess.Popen(  # noqa: S603 - our own module, by our own interpreter
            [sys.executable, "-m", __name__, str(folder), *(["--remove"] if remove else [])],
            env=importing_ours(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self) -> None:
        """Let go after everything was stopped in order: nothing is left for the leash to do."""
        self._child.kill()
        self._child.communicate()


def main(folder: str, *options: str) -> None:
    """Wait for the parent's end, then stop everything under the folder."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 64):
        pass
    pidfile.stop_all(Path(folder), seconds=STOP_SECONDS)
    if "--remove" in options:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
