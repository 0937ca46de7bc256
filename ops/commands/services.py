"""``paidup ingest`` and ``paidup worker``."""

import os

import click

from ops.up.replace_process import replace_process


@click.command(
    epilog="Example: STRIPE_WEBHOOK_SECRET=whsec_... REDIS_URL=redis://... paidup ingest"
)
def ingest() -> None:
    """Run the webhook server, which accepts events from Stripe into the inbox.

    SIGTERM stops it; PAIDUP_INGEST_PROCESSES scales it. It needs Redis but no database.
    """
    replace_process("ingest", os.environ, "REDIS_URL")


@click.command(epilog="Example: DATABASE_URL=postgresql://... REDIS_URL=redis://... paidup worker")
def worker() -> None:
    """Run a worker, which applies events from the inbox to the database.

    SIGTERM finishes the running events and stops it. Start as many workers as the backlog needs,
    on any machine.
    """
    replace_process("workers", os.environ, "DATABASE_URL", "REDIS_URL")
