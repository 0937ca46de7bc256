"""``paidup doctor``."""

import os

import click

from ops.doctor.examine import examine
from ops.doctor.findings import Finding, State
from ops.terminal.output import Columns, json_option, print_json, print_rows, to_json

_STYLES = {State.OK: "", State.WARNING: "yellow", State.PROBLEM: "bold red"}
_COLUMNS: Columns[Finding] = {
    "": lambda finding: finding.state,
    "check": lambda finding: finding.check,
    "finding": lambda finding: finding.says,
}


@click.command(epilog="Example: paidup doctor --json | jq '.findings[] | select(.state != \"ok\")'")
@json_option
def doctor(*, as_json: bool) -> int:
    """Check settings, secrets, servers, schema, plans and clocks of this deployment.

    Read-only. Exits 1 if it finds a problem; warnings alone exit 0.
    """
    findings = list(examine(os.environ))
    problems = sum(finding.state is State.PROBLEM for finding in findings)
    if as_json:
        print_json({"ok": not problems, "findings": to_json(findings)})
    else:
        print_rows(_COLUMNS, findings, style=lambda finding: _STYLES[finding.state])
        click.echo(f"{problems} to fix" if problems else "nothing to fix")
    return 1 if problems else 0
