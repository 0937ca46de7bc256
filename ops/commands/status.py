"""``paidup status``."""

import os
from contextlib import suppress

import click

from ops.errors import NoServerConfigured
from ops.status.overview import Overview, take_overview
from ops.status.render import as_document, print_overview
from ops.terminal.interrupt import Interrupted, Interruption
from ops.terminal.output import json_option, print_json
from ops.up.up_file import settings as find_settings
from runtime.settings import Settings

_SECONDS = 2.0


@click.command(epilog="Example: paidup status --json | jq .inbox.events")
@click.option("--watch", is_flag=True, help="Refresh every two seconds, until Ctrl-C.")
@json_option
def status(*, watch: bool, as_json: bool) -> int:
    """Show the backlog, workers and dead letters, and how many workers the backlog needs.

    Exits 1 if PostgreSQL or Redis is unreachable; it still shows what the other one knows.
    """
    settings = find_settings(os.environ)
    if settings.redis_url is None and settings.database_url is None:
        raise NoServerConfigured("REDIS_URL", settings.data_dir.absolute())
    if watch:
        _watch(settings, as_json=as_json)
        return 0
    overview = take_overview(settings)
    _print(overview, as_json=as_json)
    return 1 if overview.troubles else 0


def _watch(settings: Settings, *, as_json: bool) -> None:
    interruption = Interruption()
    with suppress(Interrupted):
        while True:
            overview = take_overview(settings)
            if not as_json:
                click.clear()  # It does nothing in a pipe.
            _print(overview, as_json=as_json)
            interruption.pause(_SECONDS)


def _print(overview: Overview, *, as_json: bool) -> None:
    if as_json:
        print_json(as_document(overview))
    else:
        print_overview(overview)
