"""``paidup migrate``."""

import os

import click

from ops.errors import NoServerConfigured
from ops.plans.migrate import migrate as migrate_database
from ops.terminal.command_name import with_command_name
from ops.up.up_file import settings


@click.command(
    epilog="Example: DATABASE_URL=postgresql://... PAIDUP_PLANS=plans.toml paidup migrate"
)
def migrate() -> None:
    """Migrate the database to this release; apply the plans document if it has no plans yet.

    It is safe to run again, and to run twice at once: the second run waits, then does nothing.
    It connects by PAIDUP_OWNER_DATABASE_URL, else by DATABASE_URL, and never through a pooler.

    It makes the roles of services and applications and gives them their rights. Where it may not
    create roles, it prints the statements for an administrator.
    """
    found = settings(os.environ)
    if found.owner_database_url is None:
        raise NoServerConfigured("DATABASE_URL", found.data_dir.absolute())
    migrate_database(found, report=_report)


def _report(line: str) -> None:
    click.echo(with_command_name(line))
