"""``paidup expire``."""

import os

import click

from ops import connections
from ops.terminal.formats import format_count
from ops.terminal.output import json_option, print_json
from ops.up.up_file import settings as find_settings
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.maintenance.reproject import project_due

_AT_ONCE = 200


@click.command(epilog="Example: DATABASE_URL=postgresql://... paidup expire")
@json_option
def expire(*, as_json: bool) -> None:
    """End access whose time is over: grace periods, cancelled periods, provisional access.

    Workers do this every few seconds; you only need it where no worker runs. The view
    effective_entitlements never shows access that has ended, even before this runs.
    """
    settings = find_settings(os.environ, "DATABASE_URL")
    cache, projected = CatalogueCache(), 0
    with connections.open_database(settings, application="expire") as engine:
        while done := project_due(engine, cache, _AT_ONCE):
            projected += done
    if as_json:
        print_json({"projected": projected})
    elif projected:
        click.echo(f"{format_count(projected, 'party', 'parties')} recomputed")
