"""Run `paidup doctor --stripe`: examine, show what would be changed, ask, change, examine again."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from ops import connections
from ops.bulk_audit import BulkAudit
from ops.doctor.findings import Finding
from ops.doctor.stripe.apply_fixes import FixRun
from ops.doctor.stripe.ask import AskStripe
from ops.doctor.stripe.examine_stripe import StripeExamination, account_asked
from ops.doctor.stripe.fixes import EndpointChange, plan_fixes
from ops.errors import CommandFailed
from ops.terminal.operator_options import require_reason
from ops.terminal.output import print_section
from ops.up import up_file
from runtime.redis_client import make_redis
from runtime.settings import Settings
from runtime.stripe_api.budget import RequestBudget
from runtime.stripe_api.client import make_api
from runtime.time_limits import COMMAND_REDIS_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeOptions:
    """The options of ``doctor --stripe``."""

    url: str | None
    fix: bool
    yes: bool
    secret_file: Path | None
    actor: str
    reason: str | None
    as_json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeReport:
    """The findings, as they are after the changes, and the changes that were made."""

    findings: Sequence[Finding]
    changes: Sequence[EndpointChange]


def examine_stripe(options: StripeOptions) -> StripeReport:
    """Ask Stripe and return what was found; with ``fix``, change it first.

    Raises:
        CommandFailed: there is no API key, or a change could not be made.
        UsageError: no reason was given for a change, or no answer can be asked for.
    """
    reason = require_reason(options.reason) if options.fix else None
    settings = up_file.settings(os.environ)
    if settings.stripe_api_key is None:
        raise CommandFailed("STRIPE_API_KEY is not set: set a restricted key, and ask again")
    with _opened(settings, options) as examination_of:
        examination, api = examination_of
        findings = list(examination.findings())
        if not options.fix or examination.seen is None:
            return StripeReport(findings=findings, changes=())
        changes = plan_fixes(examination.seen, examination.expected)
        if changes:
            _confirm(changes, options)
            _make(settings, api, changes, options, reason)
            findings = list(examination.findings())
    return StripeReport(findings=findings, changes=changes)


@contextmanager
def _opened(
    settings: Settings, options: StripeOptions
) -> Iterator[tuple[StripeExamination, AskStripe]]:
    client = make_redis(settings, timeout=COMMAND_REDIS_SECONDS) if settings.redis_url else None
    try:
        api = make_api(settings, budget=RequestBudget(client, settings, caller="doctor"))
        yield StripeExamination(settings, api, client, options.url), api
    finally:
        if client is not None:
            client.close()


def _confirm(changes: Sequence[EndpointChange], options: StripeOptions) -> None:
    """Show the changes and ask; a new secret needs a file, and a pipe needs ``--yes``."""
    if not options.as_json:
        print_section("would change at Stripe", (each.says for each in changes))
    if any(each.creates for each in changes) and options.secret_file is None:
        raise click.UsageError(
            "--secret-file is missing: name a new file, which gets the signing secret of the new"
            " endpoint; it is never printed"
        )
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("nothing was changed: --yes makes these changes without asking")
    click.confirm("\nMake these changes now?", abort=True, err=True)


def _make(
    settings: Settings,
    api: AskStripe,
    changes: Sequence[EndpointChange],
    options: StripeOptions,
    reason: str | None,
) -> None:
    audited = up_file.settings(os.environ, "DATABASE_URL")
    with connections.open_database(audited, application="doctor") as engine:
        audit = BulkAudit(engine=engine, actor=options.actor, reason=reason, targets=[])
        FixRun(api, account_asked(settings), audit, options.secret_file).make(changes)
