"""Why a server of ours cannot run here; every message ends with what to do.

ServerError
 ├── ServerMissing       no binary that could be started
 ├── FolderClosed        the account that must run PostgreSQL cannot enter a folder
 ├── FolderUnusable      the data in the folder is not of this server
 ├── StillRunning        another process holds the pid file and does not go
 └── ServerDidNotStart   it was started and ended, or never answered
"""

from pathlib import Path


class ServerError(Exception):
    """The root of everything ``ops.up.servers`` raises on purpose."""


class ServerMissing(ServerError):
    """No usable binary of this server is installed."""


class FolderClosed(ServerError):
    """PostgreSQL refuses to run as root, and ``nobody`` cannot enter ``closed``."""

    def __init__(self, closed: Path, *, account: str, remedy: str) -> None:
        self.closed = closed
        super().__init__(
            f"PostgreSQL refuses to run as root and the account {account}"
            f" cannot enter {closed}: {remedy}"
        )


class FolderUnusable(ServerError):
    """What lies in the folder was not written by a server that we could start on it."""


class StillRunning(ServerError):
    """A left-over process holds ``pid_file`` and survived being asked and being killed."""

    def __init__(self, pid_file: Path, pid: int | None) -> None:
        self.pid_file = pid_file
        self.pid = pid
        who = f"process {pid}" if pid else "a process"
        super().__init__(f"{who} still runs and holds {pid_file}; end it, then start again")


class ServerDidNotStart(ServerError):
    """A server ended at once or never answered; ``said`` is the last line of its log."""

    def __init__(self, name: str, said: str, log: Path) -> None:
        self.name = name
        self.said = said
        super().__init__(f"{name} did not start: {said or 'it said nothing'} (log: {log})")
