"""``paidup doctor``."""

import os

import click

from ops.doctor.examine import examine
from ops.doctor.findings import Finding, State
from ops.doctor.restored import note_restored
from ops.terminal.operator_options import operator_options
from ops.terminal.output import Columns, json_option, print_json, print_rows, to_json

_STYLES = {State.OK: "", State.WARNING: "yellow", State.PROBLEM: "bold red"}
_COLUMNS: Columns[Finding] = {
    "": lambda finding: finding.state,
    "check": lambda finding: finding.check,
    "finding": lambda finding: finding.says,
}


@click.command(epilog="Example: paidup doctor --json | jq '.findings[] | select(.state != \"ok\")'")
@click.option(
    "--restored",
    is_flag=True,
    help="First void the done markers and close the reports of lost data: it was restored,"
    " or Stripe sent it again.",
)
@operator_options
@json_option
def doctor(*, restored: bool, actor: str, reason: str | None, as_json: bool) -> int:
    """Check settings, secrets, servers, schema, plans and clocks of this deployment.

    Read-only without --restored, which the audit log records with --reason. Exits 1 if it finds
    a problem; warnings alone exit 0.
    """
    noted = note_restored(os.environ, actor=actor, reason=reason) if restored else None
    findings = list(examine(os.environ))
    problems = sum(finding.state is State.PROBLEM for finding in findings)
    if as_json:
        noted_document = {"restored": to_json(noted)} if noted else {}
        print_json({"ok": not problems, "findings": to_json(findings), **noted_document})
    else:
        if noted:
            click.echo(str(noted))
        print_rows(_COLUMNS, findings, style=lambda finding: _STYLES[finding.state])
        click.echo(f"{problems} to fix" if problems else "nothing to fix")
    return 1 if problems else 0
