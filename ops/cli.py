"""The command ``paidup`` and its subcommands.

A subcommand's module is imported only when it runs, so that ``--help`` is fast. An error that
Paidup raises on purpose becomes one sentence on standard error; any other error is a bug and
keeps its traceback. With ``--json`` every error is a JSON document on standard output as well.
Exit codes: 0 done, 1 not done, 2 wrong usage.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from io import StringIO
from typing import Final, NoReturn

import click
from click.shell_completion import CompletionItem

from ops.errors import user_message
from ops.terminal.command_name import PAIDUP, call_by_name, command_name, with_command_name
from ops.terminal.output import printable_lines
from paidup import __version__

COMMANDS: Mapping[str, str] = {
    "up": "Run PostgreSQL, Redis and Paidup here until Ctrl-C.",
    "demo": "Run three purchases on temporary servers.",
    "send": "Send signed sample events to an endpoint.",
    "ingest": "Run the webhook server.",
    "worker": "Run a worker, which applies events.",
    "console": "Run the pages for people and the API for applications.",
    "migrate": "Migrate the database.",
    "expire": "End access whose time is over.",
    "plans": "Check, preview and apply plans.",
    "status": "Show backlog, workers and dead letters.",
    "events": "List, show and export Stripe events.",
    "explain": "Explain why a user has a feature or not.",
    "grants": "Give, list and end access by hand.",
    "links": "Say whose a purchase or customer is.",
    "backfill": "Read what was sold before Paidup.",
    "changes": "List and follow entitlement changes.",
    "dead": "List, replay and discard dead letters.",
    "replay": "Replay events through the inbox.",
    "jobs": "List, approve and run bulk actions.",
    "runs": "List and cancel backfills and reconciliations.",
    "rebuild": "Recompute rows from stored facts.",
    "reconcile": "Compare with Stripe, and repair.",
    "audit": "List the audit log.",
    "compare": "Compare with what your application grants.",
    "export": "Write access, payments and audit.",
    "doctor": "Find problems of this deployment.",
}


_MODULES = {"ingest": "services", "worker": "services"}
"""Where a command is not in the module of its name."""


COMPLETION: Final = "_PAIDUP_COMPLETE"
"""The variable by which a shell asks for completions, however the command is called."""


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
        _name_in_examples(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments begin with.

        Raises:
            UsageError: there is none; naming those that were probably meant.
        """
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            meant = ", ".join(f"`{PAIDUP} {each}`" for each in self._probably_meant(ctx, args[0]))
            hint = f"did you mean {meant}?" if meant else f"`{PAIDUP} --help` lists all commands"
            raise click.UsageError(f"there is no command {args[0]!r}: {hint}", ctx) from error

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help with calls that can be typed."""
        self.help = call_by_name(self.help or "")
        super().format_help_text(ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin with ``incomplete``, importing no command."""
        named = [
            CompletionItem(name, help=summary)
            for name, summary in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the summaries of the table, since asking the commands would import them all."""
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])

    def _probably_meant(self, ctx: click.Context, word: str) -> Iterator[str]:
        """Yield the groups that have a command of this name; without one, similar commands."""
        groups = [
            (name, command)
            for name in COMMANDS
            if isinstance(command := self.get_command(ctx, name), click.Group)
        ]
        inside = [f"{name} {word}" for name, command in groups if word in command.commands]
        yield from inside or get_close_matches(word, COMMANDS, n=3)


def _name_in_examples(command: click.Command) -> None:
    """Make the examples below the help of a command, and of those in its group, typeable."""
    if command.epilog:
        # A call that is broken in two lines is another call when it is copied.
        whole = command.epilog.replace("Example: ", "\b\nExample:\n  ", 1)
        command.epilog = call_by_name(whole)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _name_in_examples(inner)


group = LazyGroup(
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Turn Stripe webhooks into entitlements, payments and an audit log."
    "\n\nSettings come from the environment (docs/configuration.md). While `paidup up` runs, the"
    " other commands use its servers."
    "\n\n\b\nExample:\n  paidup demo\n  paidup COMMAND --help",
    epilog="Complete commands and options with the Tab key: docs/commands.md.",
)
click.version_option(__version__)(group)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    printed_to = sys.stdout
    try:
        return _run(sys.argv[1:] if arguments is None else list(arguments))
    except BrokenPipeError:
        return _without_reader()
    except SystemExit:
        # click replaces the stream before it exits because the reader of the pipe is gone.
        if sys.stdout is printed_to:
            raise
        return _without_reader()


def _run(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    # A shell knows the completions of a program by its last name alone.
    name = PAIDUP if COMPLETION in os.environ else command_name()
    try:
        result = group.main(
            args=arguments, prog_name=name, complete_var=COMPLETION, standalone_mode=False
        )
        sys.stdout.flush()
    except click.ClickException as error:
        said, code = error.format_message(), error.exit_code
        return _report(said, code, as_json=as_json, shown=_shown_by_click(error))
    except click.Abort:
        return _report("interrupted", 1, as_json=as_json, shown="interrupted")
    except BrokenPipeError:
        raise
    except Exception as error:
        message = user_message(error)
        if message is not None:
            return _report(message, 1, as_json=as_json, shown=f"paidup: {message}")
        if as_json:
            _print_error(f"{type(error).__name__}: {error}", 1)
        raise
    return result if isinstance(result, int) else 0


def _shown_by_click(error: click.ClickException) -> str:
    shown = StringIO()
    error.show(shown)
    return shown.getvalue().rstrip("\n")


def _report(message: str, code: int, *, as_json: bool, shown: str) -> int:
    """Print an error for people, and for programs that asked for JSON. Return the exit code."""
    click.echo(printable_lines(with_command_name(shown)), err=True)
    if as_json:
        _print_error(with_command_name(message), code)
    return code


def _print_error(message: str, code: int) -> None:
    # One line, because `changes --follow --json` prints one document a line.
    click.echo(json.dumps({"error": message, "exit_code": code}, ensure_ascii=False))


def main() -> NoReturn:
    """Run the installed command."""
    sys.exit(run())


def _without_reader() -> int:
    """Return 0 for a closed pipe, and keep Python from printing an error when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


if __name__ == "__main__":
    main()
