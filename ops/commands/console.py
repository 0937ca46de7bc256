"""``paidup console``."""

import os
import re

import click

from ops.console_tokens import NAME, VARIABLE, GeneratedToken, Role, generate_token
from ops.terminal.output import json_option, print_json
from ops.up.replace_process import replace_process


@click.group(
    invoke_without_command=True,
    epilog="Example: DATABASE_URL=postgresql://... PAIDUP_CONSOLE_TOKENS=... paidup console",
)
@click.pass_context
def console(context: click.Context) -> None:
    """Run the HTTP API: applications read what a user may use, operators state grants and links.

    It listens on PAIDUP_CONSOLE_BIND, which must never be a public address, and stops on SIGTERM.
    It needs PostgreSQL but not Redis. Every request needs a token.
    """
    if context.invoked_subcommand is None:
        replace_process("ops.console", os.environ, "DATABASE_URL")


@console.command(
    "token",
    epilog="Example: paidup console token billing-app",
    short_help="Create a token for an application.",
)
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.READER.value,
    show_default=True,
    help="What its holder may do: a reader reads and never writes, an operator does both.",
)
@json_option
def token(*, name: str, role: str, as_json: bool) -> None:
    """Create a token for an application; NAME stands for it in settings, metrics, logs and audit.

    Paidup does not store the token: give it to the application and its hash to the setting.
    """
    if not re.fullmatch(NAME, name):
        raise click.BadParameter("write 1 to 64 letters, digits, dots, dashes or underscores")
    drawn = generate_token(name, Role(role))
    if as_json:
        print_json({"name": name, "role": role, "token": drawn.token, "setting": drawn.entry})
    else:
        click.echo(_describe(drawn))


def _describe(drawn: GeneratedToken) -> str:
    return f"""\
token    {drawn.token}
setting  {drawn.entry}

Give the token to the application; it cannot be shown again. Add the setting to
{VARIABLE}, comma separated, and restart the console."""
