"""``paidup migrate``."""

import os

import click

from ops.plans.migrate import migrate as migrate_database
from ops.up.up_file import settings


@click.command(
    epilog="Example: DATABASE_URL=postgresql://... PAIDUP_PLANS=plans.toml paidup migrate"
)
def migrate() -> None:
    """Migrate the database to this release; apply the plans document if it has no plans yet.

    It is safe to run again, and to run twice at once: the second run waits, then does nothing.
    """
    migrate_database(settings(os.environ, "DATABASE_URL"), report=click.echo)
