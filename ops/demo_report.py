"""The demonstration's account, for people and for programs."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.demo_account import Account, Act, Knock
from ops.output import Json

_TABLES: Mapping[str, tuple[str, ...]] = {
    "grants": ("source", "plan_code", "entitlements", "active", "expires_at", "because"),
    "payments": ("payment_ref", "amount_minor", "amount_refunded_minor", "currency", "status"),
    "payment_events": ("kind", "amount_minor", "payment_ref", "event_type"),
    "audit": ("action", "target_type", "target_id", "reason"),
}
_TITLES = {
    "grants": "user_entitlements",
    "payments": "payments",
    "payment_events": "payment_events",
    "audit": "audit_logs",
}


def as_document(account: Account) -> Json:
    """The whole account as JSON values."""
    return {
        "ok": not account.problems,
        "problems": list(account.problems),
        "seconds": round(account.seconds, 2),
        "acts": [_act(act) for act in account.acts],
        "knocks": [_knock(knock) for knock in account.knocks],
        "metrics": dict(account.metrics),
    }


def print_account(account: Account, console: Console) -> None:
    """The account as a person reads it: sent, answered, granted, booked, audited, refused."""
    for number, act in enumerate(account.acts, 1):
        console.rule(f"[bold]{number}. {escape(act.title)}", align="left")
        _print_act(act, console)
    console.rule("[bold]What must not pass, or not twice", align="left")
    _print_knocks(account.knocks, console)
    console.rule("[bold]Metrics that moved", align="left")
    console.print(_table(("metric", "by"), account.metrics.items()))
    _print_verdict(account, console)


def _act(act: Act) -> Json:
    seen = act.observed
    tables = {_TITLES[name]: [_plain(row) for row in getattr(seen, name)] for name in _TABLES}
    return {
        "title": act.title,
        "user_id": act.expected.user_id,
        "sent": [
            {
                "event_id": delivered.event.id,
                "type": delivered.event.type,
                "status": delivered.answer.status,
                "body": _said(delivered.answer.document),
            }
            for delivered in act.deliveries
        ],
        **tables,
    }


def _knock(knock: Knock) -> Json:
    return {
        "title": knock.title,
        "status": knock.answer.status,
        "body": _said(knock.answer.document),
    }


def _said(document: object) -> Json:
    said: Json = json.loads(json.dumps(document))
    return said


def _plain(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        name: value if isinstance(value, (bool, int, dict, type(None))) else str(value)
        for name, value in row.items()
    }


def _print_act(act: Act, console: Console) -> None:
    sent = (
        (
            delivered.event.type,
            f"{len(delivered.event.body)} B",
            str(delivered.answer.status),
            _short(delivered.answer.document),
        )
        for delivered in act.deliveries
    )
    console.print(_table(("sent", "size", "answer", "body"), sent))
    for name, columns in _TABLES.items():
        rows = getattr(act.observed, name)
        cells = ([_cell(row[column]) for column in columns] for row in rows)
        console.print(_table(columns, cells, title=_TITLES[name]))


def _print_knocks(knocks: Iterable[Knock], console: Console) -> None:
    rows = (
        (knock.title, str(knock.answer.status), _short(knock.answer.document)) for knock in knocks
    )
    console.print(_table(("sent", "answer", "body"), rows))


def _print_verdict(account: Account, console: Console) -> None:
    if not account.problems:
        took = f"{account.seconds:.1f} s"
        console.print(f"[bold green]Everything is as it must be[/] ({took} after the start).")
        return
    console.print(f"[bold red]{len(account.problems)} things are not as they must be:")
    for problem in account.problems:
        console.print(f"  - {escape(problem)}")


def _table(
    columns: Iterable[str], rows: Iterable[Iterable[object]], *, title: str | None = None
) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", header_style="dim")
    for row in rows:
        table.add_row(*(escape(_cell(cell)) for cell in row))
    return table


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_cell(held)}" for name, held in value.items())
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"+{value:g}"
    return "-" if value is None else str(value)


def _short(document: object) -> str:
    return json.dumps(document, ensure_ascii=False)
