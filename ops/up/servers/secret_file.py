"""Passwords and secrets that are generated once and kept in a file only the owner can read."""

import os
from collections.abc import Callable
from pathlib import Path
from secrets import token_urlsafe

from ops.up.servers.account import ServerAccount


def kept_secret(
    path: Path,
    draw: Callable[[], str] = lambda: token_urlsafe(24),
    *,
    account: ServerAccount | None = None,
) -> str:
    """Return the secret in the file; generate and write it with mode 0600 if there is none."""
    if path.exists() and (kept := path.read_text(encoding="utf-8").strip()):
        return kept
    drawn = draw()
    write_private(path, drawn + "\n", account=account)
    return drawn


def write_private(path: Path, text: str, *, account: ServerAccount | None = None) -> None:
    """Replace the file atomically, with mode 0600 from its first byte on."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        if account:
            os.fchown(file.fileno(), account.uid, account.gid)
    fresh.replace(path)
