"""``paidup up``."""

import errno
import os
from collections.abc import Mapping
from shlex import quote

import click

from ops.demo.plans import with_plans
from ops.errors import first_line
from ops.terminal.command_name import call_by_name, with_command_name
from ops.terminal.interrupt import Interrupted, Interruption
from ops.up.stack import Stack
from ops.up.up_file import data_dir_of

_RESTART_CHECK_SECONDS = 0.5


@click.command(epilog="Example: STRIPE_WEBHOOK_SECRET=$(stripe listen --print-secret) paidup up")
def up() -> None:
    """Run PostgreSQL, Redis, ingest, a worker and the console on this machine.

    If DATABASE_URL or REDIS_URL is set, that server is used; otherwise one is started in
    PAIDUP_DATA_DIR, which keeps its data. The plans are PAIDUP_PLANS or plans.toml; without
    either, those of the demo. Ctrl-C stops everything.
    """
    interruption = Interruption()
    environ = with_plans(os.environ, _say)
    stack = None
    try:
        stack = _started(environ, interruption)
        _print(call_by_name(welcome(stack, environ)), err=False)
        while True:
            interruption.pause(_RESTART_CHECK_SECONDS)
            stack.restart_ended()
    except Interrupted:
        _print("stopping: ingest, console, worker, servers")
    finally:
        if stack:
            stack.stop()
    _print(f"stopped; the data stays in {data_dir_of(environ).absolute()}")


def _started(environ: Mapping[str, str], interruption: Interruption) -> Stack:
    """Start a stack; if that fails on a full disk, wait for room and start another one."""
    while True:
        stack = Stack(data_dir_of(environ), environ, say=_say, pause=interruption.pause)
        try:
            stack.start()
        except Interrupted:
            raise
        except Exception as error:
            if stack.has_room():
                raise
            _say(f"cannot start and is tried again: {first_line(error)}")
        else:
            return stack
        while not stack.has_room():
            interruption.pause(_RESTART_CHECK_SECONDS)


def _say(line: str) -> None:
    _print(f"paidup: {with_command_name(line)}")


def _print(text: str, *, err: bool = True) -> None:
    """Print; the output may be a file on the disk that is full, and the stack goes on."""
    try:
        click.echo(text, err=err)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def _named_folder(environ: Mapping[str, str]) -> str:
    """Return what a call in another terminal begins with: the data folder, if one is set."""
    if not environ.get("PAIDUP_DATA_DIR") and "PAIDUP_DATA_DIR_FILE" not in environ:
        return ""
    return f"PAIDUP_DATA_DIR={quote(str(data_dir_of(environ).absolute()))} "


def welcome(stack: Stack, environ: Mapping[str, str]) -> str:
    """Return the addresses of a stack, and what to do next in the operator's environment."""
    folder = _named_folder(environ)
    return f"""\
Paidup is up. Ctrl-C stops it and keeps its data.

  webhooks  {stack.webhook_url}
  console   {stack.login_url} ({_login(stack)})
  read API  {stack.console_url}/openapi.json (its token is in up.json)
  metrics   {stack.ingest_url}/metrics and {stack.worker_metrics_url}/metrics
  data      {stack.data_dir} (logs in log/, addresses and secrets in up.json)
{_reading(stack)}
Try it from another terminal, without an account at Stripe:

  {folder}paidup send

or with Stripe's own command line; start with its secret, then forward to this address:

  {folder}STRIPE_WEBHOOK_SECRET=$(stripe listen --print-secret) paidup up
  stripe listen --forward-to {stack.webhook_url}
"""


def _login(stack: Stack) -> str:
    if stack.login_token_file is None:
        return "log in with a token of a viewer or an operator"
    return f"log in with the token in {stack.login_token_file}"


def _reading(stack: Stack) -> str:
    if stack.reader_database_url is None:
        return ""
    return "  SQL       reader_database_url in up.json, for applications (docs/integration.md)\n"
