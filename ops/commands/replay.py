"""``paidup replay``."""

from typing import Any

import click

from models.events import OUTCOMES
from ops.export.importer import bring_in
from ops.replay.start import Wish, replay_options
from ops.replay.start import replay as carry_out
from ops.replay.targets import DEAD, choose_events, selection_of, targets

_HOW = ("actor", "reason", "rate", "dry_run", "wait", "yes", "as_json")


@click.command(epilog="Example: paidup replay --type invoice.paid --outcome ignored --dry-run")
@targets
@click.option(
    "--outcome", type=click.Choice([*OUTCOMES, DEAD]), help="What became of them; dead letters."
)
@click.option("--from", "source", metavar="FILE", help="Events that were exported; - for stdin.")
@click.option(
    "--unfetched", is_flag=True, help="Settled, and Stripe's API was not asked about it yet."
)
@replay_options
def replay(*, source: str | None, **given: Any) -> int:
    """Send events through the inbox once more: settled ones, dead letters, or both.

    Nothing is applied twice: what an event stated is replaced by what today's readers read from
    the same payload. Live traffic goes first. Interrupt it, run it twice, run it with others at
    once: each event is let in once. Exit code 1 if an event failed or is not settled yet.

    With --from it lets in what `paidup events export` wrote, say into an empty database. What is
    settled here already is left alone, and so is what was discarded. A file with one broken line
    is refused before anything is let in.
    """
    how = {name: given.pop(name) for name in _HOW}
    if source is not None:
        if any(given.values()):
            raise click.UsageError("--from takes every event of the file: give no ids or filters")
        return bring_in(source, Wish(**how))
    selection = selection_of(**given)
    if selection.error is not None and selection.outcome not in {None, DEAD}:
        raise click.UsageError("--error is about dead letters: leave --outcome out")
    if selection.unfetched and (selection.error is not None or selection.outcome == DEAD):
        raise click.UsageError("--unfetched is about settled events, not about dead letters")
    return carry_out(
        lambda connection, settings: choose_events(connection, settings, selection), Wish(**how)
    )
