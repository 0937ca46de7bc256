"""``paidup expire``."""

import os

import click

from ops.terminal.output import emit_json, json_option
from ops.up.up_file import settings as find_settings
from runtime.database.engine import make_engine
from runtime.ledger.record import Ledger

_AT_ONCE = 200


@click.command(epilog="Example: DATABASE_URL=postgresql://... paidup expire")
@json_option
def expire(*, as_json: bool) -> None:
    """End what ends by time: grace periods, cancelled periods, provisional access.

    Workers run this every few seconds; by hand it is only needed where no worker runs. Readers of
    the effective_entitlements view never see access that is over, run or not run.
    """
    settings = find_settings(os.environ, "DATABASE_URL")
    engine = make_engine(settings, application_name="paidup expire")
    ledger = Ledger(
        engine, livemode=settings.effective_livemode(), accounts=settings.connect_accounts
    )
    projected = 0
    try:
        while done := ledger.project_due(_AT_ONCE):
            projected += done
    finally:
        engine.dispose()
    if as_json:
        emit_json({"projected": projected})
    elif projected:
        click.echo(f"projected again: {projected}")
