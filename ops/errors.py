"""Why a command did not do what it was asked; every message ends with what to do.

OpsError
 ├── NothingRuns     a server is needed, and neither the environment nor `up` names one
 ├── AlreadyUp       a second `up` on one folder
 ├── AddressTaken    somebody else listens where we should
 └── NotDone         anything else that was asked for and did not happen
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path


class OpsError(Exception):
    """The root of everything ``ops`` raises on purpose; its text is for the operator."""


class NothingRuns(OpsError):
    """The command needs a server that nobody named."""

    def __init__(self, missing: str, data_dir: Path) -> None:
        super().__init__(
            f"{missing} is not set, and no `paidup up` runs on {data_dir}:"
            " set it, or start `paidup up` first"
        )


class AlreadyUp(OpsError):
    """Another ``paidup up`` holds the data folder."""

    def __init__(self, data_dir: Path, pid: int | None) -> None:
        who = f" (process {pid})" if pid else ""
        super().__init__(
            f"`paidup up` already runs on {data_dir}{who}:"
            " stop it, or set PAIDUP_DATA_DIR to another folder"
        )


class AddressTaken(OpsError):
    """The address that a setting asks for is in use."""

    def __init__(self, variable: str, address: object) -> None:
        super().__init__(
            f"{address} is in use: stop what listens there, or set {variable} to another address"
        )


class NotDone(OpsError):
    """The command ran and the answer is no; the message says what was found."""


_OURS = (
    ("ops.errors", "OpsError"),
    ("runtime.settings", "SettingsError"),
    ("ops.up.servers.errors", "ServerError"),
    ("runtime.database.engine", "UnusableDatabaseUrl"),
    ("runtime.plans_file", "PlansMissing"),
    ("runtime.ledger.errors", "LedgerError"),
    ("billing.errors", "BillingError"),
)
_SERVERS = (
    ("redis.exceptions", "RedisError", "Redis"),
    ("sqlalchemy.exc", "DBAPIError", "PostgreSQL"),
    ("sqlalchemy.exc", "TimeoutError", "PostgreSQL"),
    ("psycopg", "Error", "PostgreSQL"),
)


def sentence(error: Exception) -> str | None:
    """What to tell the operator; None for a bug, which keeps its traceback.

    Modules that were not imported cannot have raised, and are not imported here.
    """
    if isinstance(error, tuple(_loaded(_OURS))):
        return str(error)
    for module, name, server in _SERVERS:
        if isinstance(error, tuple(_loaded([(module, name)]))):
            said = str(getattr(error, "orig", error)).strip().partition("\n")[0]
            return f"{server} did not do it: {said}"
    return None


def _loaded(names: Iterable[tuple[str, str]]) -> Iterator[type[Exception]]:
    for module, name in names:
        if module in sys.modules:
            yield getattr(sys.modules[module], name)
