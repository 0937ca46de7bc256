"""``paidup demo``."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ops.demo.plans import PLANS
from ops.demo.stopwatch import Stopwatch
from ops.errors import user_message
from ops.terminal.command_name import command_name, with_command_name
from ops.terminal.formats import format_count, format_stopwatch
from ops.terminal.interrupt import Interrupted, Interruption
from ops.terminal.output import console, json_option, print_json
from ops.terminal.waits import Waits

if TYPE_CHECKING:
    from ops.demo.result import DemoResult

_STILL_OURS = ("PAIDUP_REDIS_SERVER", "PAIDUP_LOG_LEVEL")
_SERVICES = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL")
_DOING = {"starting": "starting servers", "events": "for the events", "stopping": "stopping"}
_INTRODUCTION = """\
This demo starts PostgreSQL, Redis, ingest, a worker and the console on this
machine, sends signed events of three purchases to them, and stops them again.

  sent      a signed event, and what ingest answered
  settled   the worker has applied it (table stripe_events)
  audit, grant, payment, booked
            a row of audit_logs, user_entitlements, payments, payment_events
  read      what the read API says
"""


@click.command(epilog="Example: paidup demo --keep")
@click.option("--keep", is_flag=True, help="Keep the folder with data and logs.")
@json_option
def demo(*, keep: bool, as_json: bool) -> int:
    """Run three purchases on temporary servers, check the result, and stop.

    It ignores your configuration: no database, Redis or secret of yours is used.
    """
    run = _DemoRun(keep=keep, as_json=as_json)
    try:
        return run.whole()
    except Interrupted as interrupted:
        raise click.Abort from interrupted


class _DemoRun:
    """One run of the command; slow imports happen after the first line is printed."""

    def __init__(self, *, keep: bool, as_json: bool) -> None:
        self._stopwatch = Stopwatch()
        self._interruption = Interruption()
        self._waits = Waits(self._echo)
        self._keep = keep
        self._as_json = as_json
        self._failure: str | None = None

    def whole(self) -> int:
        """Print the introduction, run the demo, and print the result. Return the exit code."""
        click.echo(_INTRODUCTION, err=self._as_json)
        account = None
        try:
            with self._waits:
                account = self._in_a_folder()
        except Exception as error:
            if self._interruption.asked:
                raise click.Abort from error
            if (message := user_message(error)) is None:
                raise
            self._failure = with_command_name(message)
            click.echo(f"paidup: {self._failure}", err=True)
        return self._close(account)

    def _in_a_folder(self) -> "DemoResult":
        self._waits.wait_for("Python to load the demo")
        from ops.up.servers.account import temporary_folder  # noqa: PLC0415 - see the class

        folder = temporary_folder("paidup-demo-")
        try:
            return self._on_a_stack(folder)
        finally:
            if self._keep:
                self._say(f"data and logs stay in {folder}")
                self._say(f"to go on with them: PAIDUP_DATA_DIR={folder} {command_name()} up")
            else:
                shutil.rmtree(folder, ignore_errors=True)
            self._stopwatch.end("stopping")

    def _on_a_stack(self, folder: Path) -> "DemoResult":
        from ops.demo.play import Play  # noqa: PLC0415 - see the class
        from ops.demo.render import WIDTH, Screen  # noqa: PLC0415
        from ops.up.stack import Stack  # noqa: PLC0415

        waits, pause = self._waits, self._interruption.pause
        stack = Stack(
            folder,
            _environ(os.environ),
            ports="free",
            say=self._say,
            wait_for=waits.wait_for,
            pause=pause,
        )
        printed_to = console(stderr=self._as_json, width=WIDTH)
        screen = Screen(printed_to, on_print=waits.heard)
        with self._stopwatch.part("starting"):
            stack.start()
        try:
            with self._stopwatch.part("events"):
                play = Play(
                    stack, screen, wait_for=waits.wait_for, pause=pause, stopwatch=self._stopwatch
                )
                return play.run()
        finally:
            self._say("stopping ingest, the console, the worker, Redis and PostgreSQL")
            stack.stop()

    def _close(self, account: "DemoResult | None") -> int:
        if self._as_json and account:
            from ops.demo.result import as_document  # noqa: PLC0415 - see the class

            print_json(as_document(account, self._stopwatch))
        elif self._as_json:
            print_json({"error": self._failure, "exit_code": 1})
        click.echo(last_line(account, self._stopwatch), err=self._as_json)
        return 0 if account and not account.problems else 1

    def _say(self, line: str) -> None:
        self._waits.heard()
        self._echo(line)

    def _echo(self, line: str) -> None:
        click.echo(
            f"paidup: {format_stopwatch(self._stopwatch.seconds):>7}  {with_command_name(line)}",
            err=True,
        )


def last_line(account: "DemoResult | None", stopwatch: Stopwatch) -> str:
    """Return how it went and how long it took, in parts; without an account, it broke off."""
    if account is None:
        verdict = "The demo failed."
    elif account.problems:
        verdict = f"{format_count(len(account.problems), 'check')} failed."
    else:
        verdict = "All checks passed."
    parts = ", ".join(
        f"{format_stopwatch(seconds)} {_DOING[part]}" for part, seconds in stopwatch.parts.items()
    )
    return f"{verdict} {format_stopwatch(stopwatch.total)} in total: {parts}."


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the settings of a deployment."""
    ours = {
        name: value
        for name, value in environ.items()
        if name in _STILL_OURS
        or not name.removesuffix("_FILE").startswith(("PAIDUP_", "STRIPE_", *_SERVICES))
    }
    return {**ours, "PAIDUP_PLANS": str(PLANS)}
