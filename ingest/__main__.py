"""``python -m ingest``: what ``paidup ingest`` becomes."""

import sys

from ingest.factory import SERVER, start_process
from runtime.http import server
from runtime.settings import Settings, SettingsError, required


def main() -> int:
    """Serve until stopped; the exit code says how it went."""
    return server.main(SERVER, start_process, usable)


def usable(settings: Settings) -> Settings:
    """The settings, if ingest can run with them: an endpoint without a secret proves nothing.

    Raises:
        SettingsError: naming each variable that is missing or unusable.
    """
    required(settings.redis_url, "REDIS_URL")
    if not settings.webhook_secrets:
        required(None, "STRIPE_WEBHOOK_SECRET")
    if not all(secret.isascii() for secret in settings.webhook_secrets):
        raise SettingsError(("STRIPE_WEBHOOK_SECRET: must be plain ASCII, as Stripe shows it",))
    return settings


if __name__ == "__main__":
    sys.exit(main())
