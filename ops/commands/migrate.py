"""``paidup migrate``."""

import os

import click

from ops.plans.migrate import migrate as migrate_database
from ops.up.up_file import settings


@click.command(
    epilog="Example: DATABASE_URL=postgresql://... PAIDUP_PLANS=plans.toml paidup migrate"
)
def migrate() -> None:
    """Bring the database to this release, and apply the plans document if there is none yet.

    Safe to run again, and from two places at once: the second waits and finds nothing to do.
    """
    migrate_database(settings(os.environ, "DATABASE_URL"), say=click.echo)
