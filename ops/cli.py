"""``paidup``: one command for everything people do.

A command's module is imported when the command runs, so that ``--help`` is there at once. What
we raise on purpose becomes one sentence on standard error; anything else is a bug and keeps its
traceback. Exit codes: 0 done, 1 not done, 2 wrong use.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NamedTuple, NoReturn

import click

from ops.errors import sentence
from paidup import __version__


class Entry(NamedTuple):
    """Where a command is, and what the list of commands says about it."""

    target: str
    summary: str


COMMANDS: Mapping[str, Entry] = {
    "up": Entry("ops.commands.up:up", "Run everything on this machine until Ctrl-C."),
    "demo": Entry("ops.commands.demo:demo", "Show a paid lifecycle on real servers, then stop."),
    "send": Entry("ops.commands.send:send", "Send signed sample lifecycles to an endpoint."),
    "ingest": Entry("ops.commands.services:ingest", "Take webhooks (becomes the server process)."),
    "worker": Entry("ops.commands.services:worker", "Apply events (becomes the worker process)."),
    "console": Entry("ops.commands.console:console", "Tell applications (becomes the server)."),
    "migrate": Entry("ops.commands.migrate:migrate", "Bring the database to this release."),
    "expire": Entry("ops.commands.expire:expire", "End what ends by time (workers do it too)."),
    "plans": Entry("ops.commands.plans:plans", "Check, try and apply what each price grants."),
    "status": Entry("ops.commands.status:status", "Say how much waits and who works on it."),
    "events": Entry("ops.commands.events:events", "List and show what came in from Stripe."),
    "explain": Entry(
        "ops.commands.explain:command", "Say why a user may or may not use a feature."
    ),
    "changes": Entry("ops.commands.changes:changes", "List and follow entitlement changes."),
    "dead": Entry("ops.commands.dead:dead", "Look at what failed; replay or discard it."),
    "replay": Entry("ops.commands.replay:replay", "Send events through the inbox once more."),
    "rebuild": Entry("ops.commands.rebuild:rebuild", "Compute rows again from what is kept."),
    "audit": Entry("ops.commands.audit:audit", "List who did what to whom, and why."),
    "doctor": Entry("ops.commands.doctor:doctor", "Say what is wrong with this deployment."),
}


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and never to list it."""

    def __init__(self, entries: Mapping[str, Entry], *, help: str) -> None:  # noqa: A002 - click's
        super().__init__(help=help, context_settings={"help_option_names": ["-h", "--help"]})
        self._entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """In the order in which a newcomer needs them."""
        return list(self._entries)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        cmd_name: str,
    ) -> click.Command | None:
        """The command, imported now."""
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
        """The table's summaries: asking the commands would import them all."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self._entries.items()])


group = LazyGroup(
    COMMANDS,
    help="Stripe's webhooks in; entitlements, payments and proof out."
    "\n\nSettings come from the environment (docs/configuration.md); a running `paidup up`"
    " lends the other commands its servers."
    "\n\n\b\nExample:\n  paidup demo\n  paidup COMMAND --help",
)
click.version_option(__version__)(group)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and say how it went, as an exit code."""
    printed_to = sys.stdout
    try:
        answer = group.main(args=arguments, prog_name="paidup", standalone_mode=False)
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
        # click replaces the stream before it ends because the reader of our pipe has gone.
        if sys.stdout is printed_to:
            raise
        return _without_reader()
    except Exception as error:
        if (said := sentence(error)) is None:
            raise
        click.echo(f"paidup: {said}", err=True)
        return 1
    return answer if isinstance(answer, int) else 0


def main() -> NoReturn:
    """The entry point of the installed command."""
    sys.exit(run())


def _without_reader() -> int:
    """Whoever read our output has seen enough; Python must not complain when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


if __name__ == "__main__":
    main()
