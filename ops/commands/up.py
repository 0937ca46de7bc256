"""``paidup up``."""

import os

import click

from ops.demo.plans import with_plans
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
    stack = Stack(data_dir_of(environ), environ, say=_say, pause=interruption.pause)
    try:
        stack.start()
        click.echo(call_by_name(_welcome(stack)))
        while True:
            interruption.pause(_RESTART_CHECK_SECONDS)
            stack.restart_ended()
    except Interrupted:
        click.echo("stopping: ingest, console, worker, servers", err=True)
    finally:
        stack.stop()
    click.echo(f"stopped; the data stays in {stack.data_dir}", err=True)


def _say(line: str) -> None:
    click.echo(f"paidup: {with_command_name(line)}", err=True)


def _welcome(stack: Stack) -> str:
    return f"""\
Paidup is up. Ctrl-C stops it and keeps its data.

  webhooks  {stack.webhook_url}
  console   {stack.console_url} (the read API: /openapi.json; its token is in up.json)
  metrics   {stack.ingest_url}/metrics and {stack.worker_metrics_url}/metrics
  data      {stack.data_dir} (logs in log/, addresses and secrets in up.json)
{_reading(stack)}
Try it from another terminal, without an account at Stripe:

  paidup send

or with Stripe's own command line; start with its secret, then forward to this address:

  STRIPE_WEBHOOK_SECRET=$(stripe listen --print-secret) paidup up
  stripe listen --forward-to {stack.webhook_url}
"""


def _reading(stack: Stack) -> str:
    if stack.reader_database_url is None:
        return ""
    return "  SQL       reader_database_url in up.json, for applications (docs/integration.md)\n"
