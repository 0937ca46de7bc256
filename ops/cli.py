"""The command ``paidup`` and its subcommands.

A subcommand's module is imported only when it runs, so that ``--help`` is fast. An error that
Paidup raises on purpose becomes one sentence on standard error; any other error is a bug and
keeps its traceback. Exit codes: 0 done, 1 not done, 2 wrong usage.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NoReturn

import click

from ops.errors import user_message
from paidup import __version__

COMMANDS: Mapping[str, str] = {
    "up": "Run PostgreSQL, Redis and Paidup here until Ctrl-C.",
    "demo": "Run three purchases on temporary servers.",
    "send": "Send signed sample events to an endpoint.",
    "ingest": "Run the webhook server.",
    "worker": "Run a worker, which applies events.",
    "console": "Run the read API for applications.",
    "migrate": "Migrate the database.",
    "expire": "End access whose time is over.",
    "plans": "Check, preview and apply plans.",
    "status": "Show backlog, workers and dead letters.",
    "events": "List, show and export Stripe events.",
    "explain": "Explain why a user has a feature or not.",
    "changes": "List and follow entitlement changes.",
    "dead": "List, replay and discard dead letters.",
    "replay": "Replay events through the inbox.",
    "rebuild": "Recompute rows from stored facts.",
    "audit": "List the audit log.",
    "doctor": "Find problems of this deployment.",
}


_MODULES = {"ingest": "services", "worker": "services"}
"""Where a command is not in the module of its name."""


class LazyGroup(click.Group):
    """A group that imports a command when it runs, but not to list it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Return the names in the order in which a new user needs them."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        cmd_name: str,
    ) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"ops.commands.{_MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the summaries of the table, since asking the commands would import them all."""
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])


group = LazyGroup(
    context_settings={"help_option_names": ["-h", "--help"]},
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
