"""The account that runs PostgreSQL when Paidup runs as root, and the folders within its reach.

PostgreSQL refuses to run as root. Paidup creates no user and opens no folder of another owner. It
runs PostgreSQL as the unprivileged account that every system has, on a data folder handed over to
that account. If the account cannot reach the folder, an error names the closed one.
"""

import os
import pwd
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ops.up.servers.errors import FolderClosed

_NOBODY = 65_534


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAccount:
    """A user and group to run as, without supplementary groups."""

    name: str
    uid: int
    gid: int


def server_account() -> ServerAccount | None:
    """Return the account PostgreSQL must run as; None if our own is not root."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return ServerAccount(name="nobody", uid=_NOBODY, gid=_NOBODY)
    return ServerAccount(name="nobody", uid=entry.pw_uid, gid=entry.pw_gid)


def closed_folder(path: Path, account: ServerAccount) -> Path | None:
    """Return the topmost folder above ``path`` that the account cannot enter, if any.

    Both the path as written and the one with its symbolic links resolved are checked.
    """
    written = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow the links
    for way in (written, written.resolve()):
        for folder in (*reversed(way.parents), way):
            if folder.is_dir() and not _may_enter(folder, account):
                return folder
    return None


def require_reach(path: Path, account: ServerAccount | None, *, remedy: str) -> None:
    """Check the path before PostgreSQL fails on it with a message that names no cause.

    Raises:
        FolderClosed: naming the folder in the way.
    """
    if account and (closed := closed_folder(path, account)):
        raise FolderClosed(
            f"PostgreSQL refuses to run as root and the account {account.name}"
            f" cannot enter {closed}: {remedy}"
        )


def make_own_folder(path: Path) -> Path:
    """Make a folder that a server account can pass through but not list.

    Only a folder that is new, empty or made here before gets these rights; its parents never do.
    """
    path.mkdir(parents=True, exist_ok=True)
    ours = not any(path.iterdir()) or (path / "run").is_dir()
    status = path.stat()
    if ours and status.st_uid == os.geteuid():
        path.chmod(stat.S_IMODE(status.st_mode) & ~0o066 | 0o711)
    (path / "run").mkdir(mode=0o700, exist_ok=True)
    return path


def temporary_folder(prefix: str = "paidup-") -> Path:
    """Make a temporary folder that a server account can pass through; the caller removes it."""
    return make_own_folder(Path(tempfile.mkdtemp(prefix=prefix)))


def _may_enter(folder: Path, account: ServerAccount) -> bool:
    status = folder.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
