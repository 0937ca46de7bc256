"""``paidup status``."""

import os
from collections.abc import Callable

import click

from ops.errors import NothingRuns
from ops.status.overview import Overview, look
from ops.status.render import as_document, drawn
from ops.terminal.interrupt import Interrupted, Interruption
from ops.terminal.output import console, emit_json, json_option, show
from ops.up.up_file import settings as find_settings
from runtime.settings import Settings

_SECONDS = 2.0


@click.command(epilog="Example: paidup status --json | jq .inbox.events")
@click.option("--watch", is_flag=True, help="Look again every two seconds, until Ctrl-C.")
@json_option
def status(*, watch: bool, as_json: bool) -> int:
    """Say how much waits, how fast it goes, who works, and how many workers it needs.

    Exit code 1 if PostgreSQL or Redis does not answer; what the other one knows is shown.
    """
    settings = find_settings(os.environ)
    if settings.redis_url is None and settings.database_url is None:
        raise NothingRuns("REDIS_URL", settings.data_dir.absolute())
    if watch:
        _watch(settings, as_json=as_json)
        return 0
    seen = look(settings)
    _print(seen, None, as_json=as_json)
    return 1 if seen.troubles else 0


def _watch(settings: Settings, *, as_json: bool) -> None:
    interruption = Interruption()
    screen = console()
    try:
        if as_json or not screen.is_terminal:
            _each(settings, interruption, lambda *seen: _print(*seen, as_json=as_json))
        else:
            _live(settings, interruption)
    except Interrupted:
        return


def _live(settings: Settings, interruption: Interruption) -> None:
    from rich.live import Live  # noqa: PLC0415 - see ops.output.console

    with Live(console=console(), auto_refresh=False) as live:
        _each(settings, interruption, lambda *seen: live.update(drawn(*seen), refresh=True))


def _each(
    settings: Settings,
    interruption: Interruption,
    obey: Callable[[Overview, Overview | None], None],
) -> None:
    before = None
    while True:
        seen = look(settings, before=before)
        obey(seen, before)
        before = seen
        interruption.pause(_SECONDS)


def _print(seen: Overview, before: Overview | None, *, as_json: bool) -> None:
    if as_json:
        emit_json(as_document(seen))
    else:
        show(drawn(seen, before))
