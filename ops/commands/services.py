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


@click.command(epilog="Example: DATABASE_URL=postgresql://... REDIS_URL=redis://... paidup worker")
def worker() -> None:
    """Apply events from the inbox to the database.

    This process becomes the worker's supervisor: SIGTERM finishes what runs and stops. Start as
    many as the backlog needs, on any machine.
    """
    become("workers", os.environ, "DATABASE_URL", "REDIS_URL")
