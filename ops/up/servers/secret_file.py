"""Passwords and secrets that we draw once and keep in a file only we can read."""

import os
from collections.abc import Callable
from pathlib import Path
from secrets import token_urlsafe

from ops.up.servers.account import Account


def kept_secret(
    path: Path,
    draw: Callable[[], str] = lambda: token_urlsafe(24),
    *,
    account: Account | None = None,
) -> str:
    """The secret in the file; drawn and written with mode 0600 when there is none yet."""
    if path.exists() and (kept := path.read_text(encoding="utf-8").strip()):
        return kept
    drawn = draw()
    write_private(path, drawn + "\n", account=account)
    return drawn


def write_private(path: Path, text: str, *, account: Account | None = None) -> None:
    """Replace the file at once and whole, with mode 0600 from its first byte on."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        if account:
            os.fchown(file.fileno(), account.uid, account.gid)
    fresh.replace(path)
