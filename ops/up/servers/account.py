"""Who runs PostgreSQL when we are root, and what that account can reach.

PostgreSQL refuses to run as root. We create no users and open nobody's folders: it runs as
``nobody``, on data in a folder of ours that we hand over, and where ``nobody`` cannot get
there, the operator is told which folder is closed.
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
class Account:
    """A user and group to become, without supplementary groups."""

    name: str
    uid: int
    gid: int


def server_account() -> Account | None:
    """The account PostgreSQL must run under; None where our own will do."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return Account(name="nobody", uid=_NOBODY, gid=_NOBODY)
    return Account(name="nobody", uid=entry.pw_uid, gid=entry.pw_gid)


def closed_folder(path: Path, account: Account) -> Path | None:
    """The topmost folder on the way to ``path`` that the account cannot enter, if any.

    Both the path as written and the one behind its symbolic links are walked.
    """
    written = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow the links
    for way in (written, written.resolve()):
        for folder in (*reversed(way.parents), way):
            if folder.is_dir() and not _may_enter(folder, account):
                return folder
    return None


def require_reach(path: Path, account: Account | None, *, remedy: str) -> None:
    """Stop before PostgreSQL fails with a message that names no cause.

    Raises:
        FolderClosed: naming the folder in the way.
    """
    if account and (closed := closed_folder(path, account)):
        raise FolderClosed(closed, account=account.name, remedy=remedy)


def make_own_folder(path: Path) -> Path:
    """A folder of ours that a server account can pass through but not list.

    Only a folder that we make now, that is empty, or that was ours before is opened; its
    parents never are.
    """
    path.mkdir(parents=True, exist_ok=True)
    ours = not any(path.iterdir()) or (path / "run").is_dir()
    status = path.stat()
    if ours and status.st_uid == os.geteuid():
        path.chmod(stat.S_IMODE(status.st_mode) & ~0o066 | 0o711)
    (path / "run").mkdir(mode=0o700, exist_ok=True)
    return path


def temporary_folder(prefix: str = "paidup-") -> Path:
    """A new temporary folder that a server account can pass through; the caller removes it."""
    return make_own_folder(Path(tempfile.mkdtemp(prefix=prefix)))


def _may_enter(folder: Path, account: Account) -> bool:
    status = folder.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
