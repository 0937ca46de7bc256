"""``paidup console``."""

import os
import re
from datetime import datetime

import click

from ops import connections
from ops.console.access.access_audit import SESSION_ENDED, audit_access
from ops.console.access.sessions import StoredSession, end_sessions_of, list_sessions
from ops.console_tokens import NAME, VARIABLE, GeneratedToken, Role, generate_token
from ops.errors import CommandFailed
from ops.terminal.formats import format_count, format_time
from ops.terminal.operator_options import operator_options
from ops.terminal.output import Columns, json_option, print_json, print_list
from ops.up.replace_process import replace_process
from ops.up.up_file import settings as find_settings


@click.group(
    invoke_without_command=True,
    epilog="Example: DATABASE_URL=postgresql://... PAIDUP_CONSOLE_TOKENS=... paidup console",
)
@click.pass_context
def console(context: click.Context) -> None:
    """Run the pages for people and the HTTP API for applications.

    It listens on PAIDUP_CONSOLE_BIND, which must never be a public address, and stops on SIGTERM.
    It needs PostgreSQL but not Redis. Applications send a token with every request; people log in
    with theirs at /login.
    """
    if context.invoked_subcommand is None:
        replace_process("ops.console", os.environ, "DATABASE_URL")


@console.command(
    "token",
    epilog="Example: paidup console token billing-app",
    short_help="Create a token for an application or a person.",
)
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.READER.value,
    show_default=True,
    help="What its holder may do: a reader is an application that reads; a viewer is a person who"
    " may also see every page; an operator may also write.",
)
@json_option
def token(*, name: str, role: str, as_json: bool) -> None:
    """Create a token; NAME stands for its holder in settings, metrics, logs and audit.

    Paidup does not store the token: give it to its holder and its hash to the setting. A person who
    is a viewer or an operator logs in to the pages with it.
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

Give the token to its holder; it cannot be shown again. Add the setting to
{VARIABLE}, comma separated, and restart the console."""


@console.group("sessions", epilog="Example: paidup console sessions end ada --reason 'lost laptop'")
def sessions() -> None:
    """Show who is logged in to the pages, and log people out."""


@sessions.command("list", epilog="Example: paidup console sessions list --ended")
@click.option("--ended", is_flag=True, help="Also those that are over, for 30 days.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@json_option
def list_stored(*, ended: bool, limit: int, as_json: bool) -> None:
    """List sessions, newest first."""
    settings = find_settings(os.environ, "DATABASE_URL")
    with connections.open_snapshot(settings, application="console sessions") as connection:
        found = list_sessions(connection, ended=ended, limit=limit + 1)
    more = len(found) > limit
    print_list(
        "sessions",
        found[:limit],
        _SESSION_COLUMNS,
        as_json=as_json,
        empty="no session" if ended else "no one is logged in",
        notes=["there are more: a larger --limit shows them"] if more else [],
        row_document=_session_document,
        more=more,
    )


@sessions.command(
    "end",
    epilog="Example: paidup console sessions end ada --reason 'lost laptop'",
    short_help="Log a person out on all consoles.",
)
@click.argument("name_or_id")
@operator_options
@json_option
def end(*, name_or_id: str, actor: str, reason: str | None, as_json: bool) -> None:
    """End all sessions of a person, or one session by its id, at once on all consoles.

    The person can log in again: to prevent that, remove the token from PAIDUP_CONSOLE_TOKENS, too.
    """
    settings = find_settings(os.environ, "DATABASE_URL")
    with (
        connections.open_database(settings, application="console sessions") as engine,
        engine.begin() as connection,
    ):
        ended = end_sessions_of(connection, name_or_id, by=actor)
        for session in ended:
            audit_access(
                connection,
                actor=actor,
                action=SESSION_ENDED,
                target=("console_session", session.id),
                reason=reason,
                after={"person": session.person},
            )
    if not ended:
        raise CommandFailed(
            f"no session of {name_or_id} lasts: `paidup console sessions list` shows those that do"
        )
    if as_json:
        print_json({"ended": [session.id for session in ended]})
    else:
        click.echo(f"ended {format_count(len(ended), 'session', 'sessions')} of {ended[0].person}")


def _session_document(session: StoredSession) -> dict[str, str | None]:
    def text(at: datetime | None) -> str | None:
        return at.isoformat() if at else None

    return {
        "id": session.id,
        "person": session.person,
        "role": session.role,
        "how": session.how,
        "source": session.source,
        "created_at": text(session.created_at),
        "last_seen_at": text(session.last_seen_at),
        "expires_at": text(session.expires_at),
        "ended_at": text(session.ended_at),
        "ended_by": session.ended_by,
    }


_SESSION_COLUMNS: Columns[StoredSession] = {
    "id": lambda session: session.id,
    "person": lambda session: session.person,
    "role": lambda session: session.role,
    "by": lambda session: session.how,
    "from": lambda session: session.source,
    "since": lambda session: format_time(session.created_at),
    "last seen": lambda session: format_time(session.last_seen_at),
    "ended by": lambda session: session.ended_by,
}
