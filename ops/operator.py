"""Who runs a command, for the audit trail."""

import getpass
from contextlib import suppress


def operator() -> str:
    """The login name, or its number where it has no name (in containers it often has none)."""
    with suppress(OSError, KeyError, ImportError):
        return f"cli:{getpass.getuser()}"
    return "cli:unknown"
