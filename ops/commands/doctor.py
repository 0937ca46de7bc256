"""``paidup doctor``."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ops.doctor.check_delivery import SavedDelivery, check_delivery
from ops.doctor.examine import examine
from ops.doctor.findings import Finding, State
from ops.doctor.restored import note_restored
from ops.errors import CommandFailed
from ops.terminal.command_name import with_command_name
from ops.terminal.formats import format_count
from ops.terminal.operator_options import operator_options
from ops.terminal.output import (
    Columns,
    Json,
    json_option,
    print_json,
    print_rows,
    printable_lines,
    to_json,
)
from ops.terminal.standard_input import open_input
from ops.up import up_file

_STYLES = {State.OK: "", State.WARNING: "yellow", State.PROBLEM: "bold red"}
_COLUMNS: Columns[Finding] = {
    "state": lambda finding: finding.state,
    "check": lambda finding: finding.check,
    "finding": lambda finding: with_command_name(finding.says),
}


@click.command(epilog="Example: paidup doctor --json | jq '.findings[] | select(.state != \"ok\")'")
@click.option(
    "--restored",
    is_flag=True,
    help="First void the done markers and close the reports of lost data: it was restored,"
    " or Stripe sent it again.",
)
@click.option(
    "--delivery",
    "body_file",
    type=click.Path(dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Try the body of one delivery, saved as it came, against each secret; - is standard"
    " input. Nothing else is checked.",
)
@click.option(
    "--signature", metavar="HEADER", help="The Stripe-Signature header of --delivery, t=...,v1=..."
)
@click.option(
    "--stripe",
    "ask_stripe",
    is_flag=True,
    help="Ask Stripe about our endpoint, what it could not deliver, and the API key. Nothing else"
    " is checked.",
)
@click.option(
    "--url",
    metavar="URL",
    help="The URL at which Stripe reaches ingest. Default: PAIDUP_PUBLIC_URL.",
)
@click.option(
    "--fix",
    is_flag=True,
    help="With --stripe: show what would be changed at Stripe, ask, and change it. Needs --reason.",
)
@click.option("--yes", is_flag=True, help="With --fix: change it without asking.")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="With --fix: a new file for the signing secret of an endpoint that is created. It is"
    " never printed.",
)
@operator_options
@json_option
def doctor(
    *,
    restored: bool,
    body_file: str | None,
    signature: str | None,
    ask_stripe: bool,
    actor: str,
    reason: str | None,
    as_json: bool,
    **of_stripe: Any,
) -> int:
    """Check settings, secrets, servers, schema, plans and clocks of this deployment.

    It also looks for events that wait or failed, and for users who pay and have no access.
    Does in Redis and PostgreSQL what the services do, on names of its own, and takes it back.
    --stripe alone asks Stripe, some twenty requests. --restored and --fix change data, and the
    audit log records it with --reason. Exits 1 if it finds a problem; warnings alone exit 0.
    """
    if any(of_stripe.values()) and not ask_stripe:
        raise click.UsageError("--url, --fix, --yes and --secret-file go with --stripe")
    if ask_stripe and (restored or body_file):
        raise click.UsageError("--stripe goes without --restored and --delivery")
    if (body_file is None) != (signature is None) or (body_file and restored):
        raise click.UsageError(
            "--delivery FILE and --signature HEADER go together, and without --restored"
        )
    if ask_stripe:
        return _examine_stripe(actor=actor, reason=reason, as_json=as_json, **of_stripe)
    noted = note_restored(os.environ, actor=actor, reason=reason) if restored else None
    if body_file is not None and signature is not None:
        delivery = SavedDelivery(body=_read_body(body_file), header=signature)
        findings = list(_try_delivery(delivery))
    else:
        findings = list(examine(os.environ))
    more: dict[str, Json] = {"restored": to_json(noted)} if noted else {}
    _print(findings, more, str(noted or ""), as_json=as_json)
    return _exit_code(findings)


def _examine_stripe(*, as_json: bool, fix: bool, **given: Any) -> int:
    from ops.doctor.stripe.run import (  # noqa: PLC0415 - Stripe's library is large
        StripeOptions,
        examine_stripe,
    )

    report = examine_stripe(StripeOptions(as_json=as_json, fix=fix, **given))
    made = [each.says for each in report.changes]
    more: dict[str, Json] = {"changes": made} if fix else {}
    says = "\n".join(f"Done: {each}." for each in made) or (
        "Nothing was changed at Stripe." if fix else ""
    )
    _print(report.findings, more, says, as_json=as_json)
    return _exit_code(report.findings)


def _exit_code(findings: Sequence[Finding]) -> int:
    return 1 if any(finding.state is State.PROBLEM for finding in findings) else 0


def _print(
    findings: Sequence[Finding], more: Mapping[str, Json], first: str, *, as_json: bool
) -> None:
    """Print what was done first, then the findings; ``more`` is for the JSON document alone."""
    states = Counter(finding.state for finding in findings)
    problems, warnings = states[State.PROBLEM], states[State.WARNING]
    if as_json:
        print_json(
            {
                "ok": not problems,
                "problems": problems,
                "warnings": warnings,
                "findings": to_json(findings),
                **more,
            }
        )
    else:
        if first:
            click.echo(printable_lines(first))
        print_rows(_COLUMNS, findings, style=lambda finding: _STYLES[finding.state])
        counted = f"{format_count(problems, 'problem')}, {format_count(warnings, 'warning')}"
        click.echo(f"\n{counted}")


def _read_body(name: str) -> bytes:
    try:
        with open_input(name) as file:
            return file.read()
    except OSError as error:
        said = f"{name}: {error.strerror or error}"
        raise CommandFailed(f"{said}; name a file with the body of one delivery, or -") from error


def _try_delivery(delivery: SavedDelivery) -> Iterator[Finding]:
    settings = up_file.settings(os.environ)
    return check_delivery(delivery, settings, now=datetime.now(UTC))
