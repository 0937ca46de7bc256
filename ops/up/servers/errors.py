"""Errors of servers that Paidup starts; every message ends with what to do."""

from pathlib import Path


class ServerError(Exception):
    """The base of all errors of ``ops.up.servers``."""


class ServerMissing(ServerError):
    """Raised if no usable binary of a server is installed."""


class FolderClosed(ServerError):
    """Raised if the account that runs PostgreSQL instead of root cannot enter a folder."""


class FolderUnusable(ServerError):
    """Raised if another version of the server wrote the data in the folder."""


class StillRunning(ServerError):
    """Raised if a process holds ``pid_file`` and survived its stop signal and SIGKILL."""

    def __init__(self, pid_file: Path, pid: int | None) -> None:
        self.pid = pid
        who = f"process {pid}" if pid else "a process"
        super().__init__(f"{who} still runs and holds {pid_file}: end it, then start again")


class ServerDidNotStart(ServerError):
    """Raised if a server ended or never became ready; ``said`` is the last line of its log."""

    def __init__(self, name: str, said: str, log: Path) -> None:
        super().__init__(f"{name} did not start: {said or 'it logged nothing'}; see {log}")
