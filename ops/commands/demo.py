"""``paidup demo``."""

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import click

from ops.demo import play
from ops.demo_account import Account
from ops.demo_plans import PLANS
from ops.demo_report import as_document, print_account
from ops.interruption import Interrupted, Interruption
from ops.output import console, emit_json, json_option
from ops.up import Stack
from runtime.servers.account import temporary_folder

_STILL_OURS = ("PAIDUP_REDIS_SERVER", "PAIDUP_LOG_LEVEL")
_SERVICES = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL")


@click.command(epilog="Example: paidup demo --keep")
@click.option("--keep", is_flag=True, help="Leave the folder with data and logs behind.")
@json_option
def demo(*, keep: bool, as_json: bool) -> int:
    """Show a paid lifecycle on real servers of its own, check it, and stop.

    Nothing that is configured is used or touched: no database, no Redis, no secret.
    """
    folder = temporary_folder("paidup-demo-")
    try:
        account = _run(folder)
    except Interrupted as interrupted:
        raise click.Abort from interrupted
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        emit_json(as_document(account))
    else:
        print_account(account, console())
    if keep:
        _say(f"data and logs stay in {folder}; go on with PAIDUP_DATA_DIR={folder} paidup up")
    return 1 if account.problems else 0


def _run(folder: Path) -> Account:
    interruption, begun = Interruption(), time.monotonic()
    environ = _environ(os.environ)
    with Stack(folder, environ, ports="free", say=_say, pause=interruption.pause) as stack:
        _say(f"servers, ingest, a worker and a console run after {time.monotonic() - begun:.1f} s")
        account = play(stack, say=_say, pause=interruption.pause)
        _say("stopping")
    return account


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without anything that belongs to a deployment."""
    ours = {
        name: value
        for name, value in environ.items()
        if name in _STILL_OURS
        or not name.removesuffix("_FILE").startswith(("PAIDUP_", "STRIPE_", *_SERVICES))
    }
    return {**ours, "PAIDUP_PLANS": str(PLANS)}


def _say(line: str) -> None:
    click.echo(f"paidup: {line}", err=True)
