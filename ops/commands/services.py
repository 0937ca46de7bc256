"""``paidup ingest``."""

import os

import click

from ops.up.replace_process import become


@click.command(
    epilog="Example: STRIPE_WEBHOOK_SECRET=whsec_... REDIS_URL=redis://... paidup ingest"
)
def ingest() -> None:
    """Take Stripe's webhooks over HTTP and put them into the inbox.

    This process becomes the server: send it SIGTERM to stop, and scale it with
    PAIDUP_INGEST_PROCESSES. It needs Redis and no database.
    """
    become("ingest", os.environ, "REDIS_URL")
