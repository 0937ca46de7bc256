"""``python -m ingest``: what ``paidup ingest`` becomes."""

import multiprocessing
import os
import sys

from ingest.process import SERVER, start_process
from runtime.multiproc import InstanceRunning
from runtime.settings import Settings, SettingsError, required
from runtime.telemetry import configure_logging
from runtime.web.server import AddressTaken, run


def main() -> int:
    """Serve until stopped; 0 after a stop, 1 where it cannot start, 2 where it is set up wrong."""
    try:
        settings = usable(Settings.from_env(os.environ))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging(sys.stderr, level=settings.log_level)
    # Server processes import everything anew, after the metrics folder is known.
    multiprocessing.set_start_method("spawn")
    try:
        run(
            SERVER,
            start_process,
            settings,
            os.environ,
            address=settings.ingest_bind,
            processes=settings.ingest_processes,
        )
    except (AddressTaken, InstanceRunning, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


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
