"""Errors that a command reports in one sentence, which ends with what to do next.

OpsError
 ├── NoServerConfigured    a server is needed, and neither the environment nor `up` names one
 └── CommandFailed         every other reason
"""

import sys
from pathlib import Path

from runtime.error_text import without_secrets


class OpsError(Exception):
    """The base of all errors that ``ops`` raises on purpose; the text is for the operator."""


class NoServerConfigured(OpsError):
    """The command needs a server that neither the environment nor `paidup up` names."""

    def __init__(self, missing: str, data_dir: Path) -> None:
        super().__init__(
            f"{missing} is not set, and no `paidup up` runs on {data_dir}:"
            " set it, or start `paidup up` first"
        )


class CommandFailed(OpsError):
    """The command could not do what was asked; the message says why."""


SERVERS_OF_ERRORS = {
    ("ops.errors", "OpsError"): None,
    ("runtime.settings", "SettingsError"): None,
    ("ops.up.servers.errors", "ServerError"): None,
    ("runtime.database.engine", "UnusableDatabaseUrl"): None,
    ("runtime.database.pooler", "PoolerBetween"): None,
    ("runtime.plans_file", "PlansMissing"): None,
    ("runtime.schema", "OlderCheckoutSchema"): None,
    ("runtime.schema", "NewerReleaseNeeded"): None,
    ("runtime.ledger.errors", "LedgerError"): None,
    ("runtime.idempotency", "IdempotencyError"): None,
    ("runtime.stripe_api.errors", "ApiFailure"): None,
    ("billing.errors", "BillingError"): None,
    ("redis.exceptions", "RedisError"): "Redis",
    ("sqlalchemy.exc", "DBAPIError"): "PostgreSQL",
    ("sqlalchemy.exc", "TimeoutError"): "PostgreSQL",
    ("psycopg", "Error"): "PostgreSQL",
}
"""The errors that are no bug, by module and name; a driver's error with its server."""


def user_message(error: Exception) -> str | None:
    """Return the sentence for the operator; None for a bug, which keeps its traceback.

    A module that was never imported cannot have raised, so none is imported here.
    """
    for (module, name), server in SERVERS_OF_ERRORS.items():
        if module in sys.modules and isinstance(error, getattr(sys.modules[module], name)):
            return f"{server} failed: {first_line(error)}" if server else str(error)
    return None


def first_line(error: Exception | str) -> str:
    """Return the first line that the server's driver said, without secrets."""
    return without_secrets(str(getattr(error, "orig", error))).strip().partition("\n")[0]
