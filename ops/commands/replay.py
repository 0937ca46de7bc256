"""``paidup replay``."""

from typing import Any

import click

from models.events import OUTCOMES
from ops.bulk.targets import DEAD, choose_events, selection_of, target_options
from ops.export.importer import import_events
from ops.queries.parties import configured_realms
from ops.replay.start import ReplayOptions, replay_options
from ops.replay.start import replay as run_replay


@click.command(epilog="Example: paidup replay --type invoice.paid --outcome ignored --dry-run")
@target_options
@click.option(
    "--outcome", type=click.Choice([*OUTCOMES, DEAD]), help="Only this outcome, or dead letters."
)
@click.option(
    "--from", "source", metavar="FILE", help="Import exported events; - is standard input."
)
@click.option(
    "--unfetched",
    is_flag=True,
    help="Only settled events that still need a fetch from Stripe.",
)
@replay_options
def replay(*, source: str | None, **given: Any) -> int:
    """Replay events through the inbox: settled events, dead letters, or both.

    No event is applied twice: its facts are replaced by those that this release reads from the
    same payload. Live traffic goes first. Interrupt it, run it twice, or run it beside another
    replay: each event is requeued once. Exits 1 if an event failed or is not settled yet.

    --from imports a file that `paidup events export` wrote, for example into an empty database.
    It skips events that are settled here and discarded ones. A file with one invalid line is
    refused before the first event is requeued.
    """
    options = ReplayOptions.taken_from(given)
    if source is not None:
        if any(given.values()):
            raise click.UsageError("--from imports every event of the file: give no ids or filters")
        return import_events(source, options)
    selection = selection_of(**given)
    wanted = selection.wanted
    if wanted.error is not None and wanted.outcome not in {None, DEAD}:
        raise click.UsageError("--error selects dead letters: leave out --outcome")
    if wanted.unfetched and (wanted.error is not None or wanted.outcome == DEAD):
        raise click.UsageError(
            "--unfetched selects settled events: leave out --error and --outcome dead"
        )
    return run_replay(
        lambda connection, settings: choose_events(
            connection, configured_realms(settings), selection
        ),
        options,
    )
