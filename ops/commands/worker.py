"""``paidup worker``."""

import os

import click

from ops.up.replace_process import become


@click.command(epilog="Example: DATABASE_URL=postgresql://... REDIS_URL=redis://... paidup worker")
def worker() -> None:
    """Apply events from the inbox to the database.

    This process becomes the worker's supervisor: SIGTERM finishes what runs and stops. Start as
    many as the backlog needs, on any machine.
    """
    become("workers", os.environ, "DATABASE_URL", "REDIS_URL")
