"""``paidup console``."""

import os
import re

import click

from ops.console.tokens import NAME, VARIABLE, Drawn, draw
from ops.terminal.output import emit_json, json_option
from ops.up.replace_process import become


@click.group(
    invoke_without_command=True,
    epilog="Example: DATABASE_URL=postgresql://... PAIDUP_CONSOLE_TOKENS=... paidup console",
)
@click.pass_context
def console(context: click.Context) -> None:
    """Serve the read API, so that applications can ask what a user may do.

    This process becomes the server, on PAIDUP_CONSOLE_BIND, which must never be a public address:
    send it SIGTERM to stop. It needs PostgreSQL and no Redis. Whoever asks presents a token.
    """
    if context.invoked_subcommand is None:
        become("ops.console", os.environ, "DATABASE_URL")


@console.command("token", epilog="Example: paidup console token billing-app")
@click.argument("name")
@json_option
def token(*, name: str, as_json: bool) -> None:
    """Draw a token for an application, which NAME stands for in settings, metrics and logs.

    Nothing is kept of it here: the application gets the token, the setting gets its hash.
    """
    if not re.fullmatch(NAME, name):
        raise click.BadParameter("write 1 to 64 letters, digits, dots, dashes or underscores")
    drawn = draw(name)
    if as_json:
        emit_json({"name": name, "token": drawn.token, "setting": drawn.entry})
    else:
        click.echo(_told(drawn))


def _told(drawn: Drawn) -> str:
    return f"""\
token    {drawn.token}
setting  {drawn.entry}

Give the token to the application; it cannot be shown again. Add the setting to
{VARIABLE}, comma separated, and start the consoles anew."""
