"""``paidup doctor``."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import click

from ops.doctor.check_delivery import SavedDelivery, check_delivery
from ops.doctor.examine import examine
from ops.doctor.findings import Finding, State
from ops.doctor.restored import Restored, note_restored
from ops.errors import CommandFailed
from ops.terminal.command_name import with_command_name
from ops.terminal.formats import format_count
from ops.terminal.operator_options import operator_options
from ops.terminal.output import Columns, json_option, print_json, print_rows, to_json
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
@operator_options
@json_option
def doctor(
    *,
    restored: bool,
    body_file: str | None,
    signature: str | None,
    actor: str,
    reason: str | None,
    as_json: bool,
) -> int:
    """Check settings, secrets, servers, schema, plans and clocks of this deployment.

    It also looks for events that wait or failed, and for users who pay and have no access.
    Does in Redis and PostgreSQL what the services do, on names of its own, and takes it back.
    --restored changes data, and the audit log records it with --reason. Exits 1 if it finds a
    problem; warnings alone exit 0.
    """
    if (body_file is None) != (signature is None) or (body_file and restored):
        raise click.UsageError(
            "--delivery FILE and --signature HEADER go together, and without --restored"
        )
    noted = note_restored(os.environ, actor=actor, reason=reason) if restored else None
    if body_file is not None and signature is not None:
        delivery = SavedDelivery(body=_read_body(body_file), header=signature)
        findings = list(_try_delivery(delivery))
    else:
        findings = list(examine(os.environ))
    _print(findings, noted, as_json=as_json)
    return 1 if any(finding.state is State.PROBLEM for finding in findings) else 0


def _print(findings: Sequence[Finding], noted: Restored | None, *, as_json: bool) -> None:
    states = Counter(finding.state for finding in findings)
    problems, warnings = states[State.PROBLEM], states[State.WARNING]
    if as_json:
        print_json(
            {
                "ok": not problems,
                "problems": problems,
                "warnings": warnings,
                "findings": to_json(findings),
                **({"restored": to_json(noted)} if noted else {}),
            }
        )
    else:
        if noted:
            click.echo(str(noted))
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
