"""Run ``python -m ingest``, the process that ``paidup ingest`` starts."""

import sys

from ingest.factory import SERVER, start_process
from runtime.http import server
from runtime.settings import Settings, required


def main() -> int:
    """Serve until stopped, and return the exit code."""
    return server.main(SERVER, start_process, check_settings)


def check_settings(settings: Settings) -> Settings:
    """Return the settings if ingest can run with them. It requires a signing secret.

    Raises:
        SettingsError: a variable is missing or unusable.
    """
    required(settings.redis_url, "REDIS_URL")
    if not settings.webhook_secrets:
        required(None, "STRIPE_WEBHOOK_SECRET")
    return settings


if __name__ == "__main__":
    sys.exit(main())
