"""Who runs a command, for the audit trail."""

import getpass
from contextlib import suppress


def operator() -> str:
    """The login name, or its number where it has no name (in containers it often has none)."""
    with suppress(OSError, KeyError, ImportError):
        return named(getpass.getuser())
    return named("unknown")


def named(name: str) -> str:
    """A person as the audit names one who used the command line."""
    return f"cli:{name}"
