"""``paidup doctor``."""

import os
from collections.abc import Sequence

import click

from ops.doctor.examine import examine
from ops.doctor.findings import Finding, State
from ops.terminal.output import console, json_option, print_json

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.PROBLEM: "bold red"}


@click.command(epilog="Example: paidup doctor --json | jq '.findings[] | select(.state != \"ok\")'")
@json_option
def doctor(*, as_json: bool) -> int:
    """Check settings, secrets, servers, schema, plans and clocks of this deployment.

    Read-only. Exits 1 if it finds a problem; warnings alone exit 0.
    """
    findings = list(examine(os.environ))
    problems = sum(finding.state is State.PROBLEM for finding in findings)
    if as_json:
        _emit(findings, problems)
    else:
        _print(findings, problems)
    return 1 if problems else 0


def _emit(findings: Sequence[Finding], problems: int) -> None:
    listed = [
        {"check": finding.check, "state": finding.state.value, "says": finding.says}
        for finding in findings
    ]
    print_json({"ok": not problems, "findings": listed})


def _print(findings: Sequence[Finding], problems: int) -> None:
    from rich.table import Table  # noqa: PLC0415 - see ops.terminal.output.console
    from rich.text import Text  # noqa: PLC0415

    table = Table("", "check", "finding", show_edge=False)
    for finding in findings:
        mark = Text(finding.state.value, style=_STYLES[finding.state])
        table.add_row(mark, Text(finding.check), Text(finding.says))
    console().print(table)
    click.echo(f"{problems} to fix" if problems else "nothing to fix")
