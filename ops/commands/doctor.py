"""``paidup doctor``."""

import os
from collections.abc import Sequence

import click

from ops.doctor.examine import examine
from ops.doctor.findings import Finding, State
from ops.doctor.restored import Restored, note_restored
from ops.terminal.output import console, json_option, print_json, to_json

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.PROBLEM: "bold red"}


@click.command(epilog="Example: paidup doctor --json | jq '.findings[] | select(.state != \"ok\")'")
@click.option(
    "--restored",
    is_flag=True,
    help="First void the done markers and close the reports of lost data: it was restored,"
    " or Stripe sent it again.",
)
@json_option
def doctor(*, restored: bool, as_json: bool) -> int:
    """Check settings, secrets, servers, schema, plans and clocks of this deployment.

    Read-only without --restored. Exits 1 if it finds a problem; warnings alone exit 0.
    """
    noted = note_restored(os.environ) if restored else None
    findings = list(examine(os.environ))
    problems = sum(finding.state is State.PROBLEM for finding in findings)
    if as_json:
        _emit(findings, problems, noted)
    else:
        if noted:
            click.echo(str(noted))
        _print(findings, problems)
    return 1 if problems else 0


def _emit(findings: Sequence[Finding], problems: int, restored: Restored | None) -> None:
    listed = [
        {"check": finding.check, "state": finding.state.value, "says": finding.says}
        for finding in findings
    ]
    noted = {"restored": to_json(restored)} if restored else {}
    print_json({"ok": not problems, "findings": listed, **noted})


def _print(findings: Sequence[Finding], problems: int) -> None:
    from rich.table import Table  # noqa: PLC0415 - see ops.terminal.output.console
    from rich.text import Text  # noqa: PLC0415

    table = Table("", "check", "finding", show_edge=False)
    for finding in findings:
        mark = Text(finding.state.value, style=_STYLES[finding.state])
        table.add_row(mark, Text(finding.check), Text(finding.says))
    console().print(table)
    click.echo(f"{problems} to fix" if problems else "nothing to fix")
