"""Raise an alert on the stack of `paidup up`, and clear it.

    python -m bench.drills [NAME] [--firing] [--look]

Without a name it lists the drills. Exits 1 if the drill failed, and 2 without Prometheus.
"""

import os
import select
import sys
import time
from collections.abc import Callable
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from bench.drills.drill import DrillFailed
from bench.drills.registry import DRILLS
from bench.drills.run import NoPrometheus, carry_out
from bench.drills.site import LOOK_SECONDS
from ops.errors import user_message
from ops.terminal.interrupt import Interrupted, Interruption
from ops.up.up_file import data_dir_of

_FAILED: Final = 1
_NO_PROMETHEUS: Final = 2
_INTERRUPTED: Final = 130


@click.command()
@click.argument("name", required=False, type=click.Choice(list(DRILLS)))
@click.option("--firing", is_flag=True, help="Wait until the alert fires, which may take an hour.")
@click.option("--look", is_flag=True, help="Keep the cause until you press Enter.")
def main(name: str | None, *, firing: bool, look: bool) -> None:
    """Carry out a drill on the stack of `paidup up`, or list all drills."""
    if name is None:
        _list()
        return
    pause = Interruption().pause
    data_dir = data_dir_of(os.environ)
    try:
        carry_out(
            DRILLS[name],
            data_dir,
            say=_say,
            firing=firing,
            pause=pause,
            look=lambda: _await_enter(pause) if look else None,
        )
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


def _await_enter(pause: Callable[[float], None]) -> None:
    """Wait for the Enter key, or the end of the input; a Ctrl-C ends the wait."""
    _say("look now; press Enter to take the cause away")
    while not select.select([sys.stdin], [], [], 0)[0]:
        pause(LOOK_SECONDS)
    sys.stdin.readline()


def _say(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')}  {line}")


def _end(message: str, code: int) -> None:
    click.echo(message, err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
