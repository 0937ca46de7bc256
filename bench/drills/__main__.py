"""Raise an alert on the stack of `paidup up`, and clear it.

    python -m bench.drills [NAME] [--firing]

Without a name it lists the drills. Exits 1 if the drill failed, and 2 without Prometheus.
"""

import os
import sys
import time
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from bench.drills.drill import DrillFailed
from bench.drills.registry import DRILLS
from bench.drills.run import NoPrometheus, carry_out
from ops.errors import user_message
from ops.terminal.interrupt import Interrupted, Interruption
from ops.up.up_file import data_dir_of

_FAILED: Final = 1
_NO_PROMETHEUS: Final = 2
_INTERRUPTED: Final = 130


@click.command()
@click.argument("name", required=False, type=click.Choice(list(DRILLS)))
@click.option("--firing", is_flag=True, help="Wait until the alert fires, which may take an hour.")
def main(name: str | None, *, firing: bool) -> None:
    """Carry out a drill on the stack of `paidup up`, or list all drills."""
    if name is None:
        _list()
        return
    pause = Interruption().pause
    data_dir = data_dir_of(os.environ)
    try:
        carry_out(DRILLS[name], data_dir, say=_say, firing=firing, pause=pause)
    except NoPrometheus as error:
        _end(str(error), _NO_PROMETHEUS)
    except Interrupted:
        _end("interrupted; the cause is taken away", _INTERRUPTED)
    except (DrillFailed, TimeoutError) as error:
        _end(str(error), _FAILED)
    except Exception as error:
        if (message := user_message(error)) is None:
            raise
        _end(message, _FAILED)


def _list() -> None:
    table = Table("make drill NAME=", "alert", "what it does")
    for drill in DRILLS.values():
        table.add_row(drill.name, drill.alert, drill.does)
    Console().print(table)


def _say(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')}  {line}")


def _end(message: str, code: int) -> None:
    click.echo(message, err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
