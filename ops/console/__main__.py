"""``python -m ops.console``: the process behind ``paidup console``."""

import sys

from ops.console.factory import SERVER, start_process
from ops.console_tokens import VARIABLE, read_tokens
from runtime.database.engine import UnusableDatabaseUrl, conninfo_of
from runtime.http import server
from runtime.settings import Settings, SettingsError, required


def main() -> int:
    """Serve until stopped, and return the exit code."""
    return server.main(SERVER, start_process, usable)


def usable(settings: Settings) -> Settings:
    """Return the settings if the console can run with them.

    Without a token it runs, because probes and metrics need none, and refuses every read.

    Raises:
        SettingsError: naming each variable that is missing or unusable.
    """
    required(settings.database_url, "DATABASE_URL")
    try:
        conninfo_of(settings.database_url)
    except UnusableDatabaseUrl as error:
        raise SettingsError((str(error),)) from error
    if not read_tokens(settings.console_tokens):
        sys.stderr.write(
            f"{VARIABLE} is empty, so every read is refused: run `paidup console token NAME`\n"
        )
    return settings


if __name__ == "__main__":
    sys.exit(main())
