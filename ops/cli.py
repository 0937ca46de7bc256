"""The command ``paidup`` and its subcommands.

A subcommand's module is imported only when it runs, so that ``--help`` is fast. An error that
Paidup raises on purpose becomes one sentence on standard error; any other error is a bug and
keeps its traceback. Exit codes: 0 done, 1 not done, 2 wrong usage.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NamedTuple, NoReturn

import click

from ops.errors import user_message
from paidup import __version__


class CommandEntry(NamedTuple):
    """The place of a command, and its line in the list of commands."""

    target: str
    summary: str


COMMANDS: Mapping[str, CommandEntry] = {
    "up": CommandEntry("ops.commands.up:up", "Run PostgreSQL, Redis and Paidup here until Ctrl-C."),
    "demo": CommandEntry("ops.commands.demo:demo", "Run three purchases on temporary servers."),
    "send": CommandEntry("ops.commands.send:send", "Send signed sample events to an endpoint."),
    "ingest": CommandEntry("ops.commands.services:ingest", "Run the webhook server."),
    "worker": CommandEntry("ops.commands.services:worker", "Run a worker, which applies events."),
    "console": CommandEntry("ops.commands.console:console", "Run the read API for applications."),
    "migrate": CommandEntry("ops.commands.migrate:migrate", "Migrate the database."),
    "expire": CommandEntry("ops.commands.expire:expire", "End access whose time is over."),
    "plans": CommandEntry("ops.commands.plans:plans", "Check, preview and apply plans."),
    "status": CommandEntry("ops.commands.status:status", "Show backlog, workers and dead letters."),
    "events": CommandEntry("ops.commands.events:events", "List, show and export Stripe events."),
    "explain": CommandEntry(
        "ops.commands.explain:command", "Explain why a user has a feature or not."
    ),
    "changes": CommandEntry("ops.commands.changes:changes", "List and follow entitlement changes."),
    "dead": CommandEntry("ops.commands.dead:dead", "List, replay and discard dead letters."),
    "replay": CommandEntry("ops.commands.replay:replay", "Replay events through the inbox."),
    "rebuild": CommandEntry("ops.commands.rebuild:rebuild", "Recompute rows from stored facts."),
    "audit": CommandEntry("ops.commands.audit:audit", "List the audit log."),
    "doctor": CommandEntry("ops.commands.doctor:doctor", "Find problems of this deployment."),
}


class LazyGroup(click.Group):
    """A group that imports a command when it runs, but not to list it."""

    def __init__(self, entries: Mapping[str, CommandEntry], *, help: str) -> None:  # noqa: A002 - click's
        super().__init__(help=help, context_settings={"help_option_names": ["-h", "--help"]})
        self._entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Return the names in the order in which a new user needs them."""
        return list(self._entries)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        cmd_name: str,
    ) -> click.Command | None:
        """Import and return a command."""
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the summaries of the table, since asking the commands would import them all."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self._entries.items()])


group = LazyGroup(
    COMMANDS,
    help="Turn Stripe webhooks into entitlements, payments and an audit log."
    "\n\nSettings come from the environment (docs/configuration.md). While `paidup up` runs, the"
    " other commands use its servers."
    "\n\n\b\nExample:\n  paidup demo\n  paidup COMMAND --help",
)
click.version_option(__version__)(group)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    printed_to = sys.stdout
    try:
        result = group.main(args=arguments, prog_name="paidup", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return 1
    except BrokenPipeError:
        return _without_reader()
    except SystemExit:
        # click replaces the stream before it exits because the reader of the pipe is gone.
        if sys.stdout is printed_to:
            raise
        return _without_reader()
    except Exception as error:
        if (message := user_message(error)) is None:
            raise
        click.echo(f"paidup: {message}", err=True)
        return 1
    return result if isinstance(result, int) else 0


def main() -> NoReturn:
    """Run the installed command."""
    sys.exit(run())


def _without_reader() -> int:
    """Return 0 for a closed pipe, and keep Python from printing an error when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


if __name__ == "__main__":
    main()
