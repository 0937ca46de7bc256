"""The demonstration's account, for people and for programs."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.demo_account import Account, Act, Knock, result_of
from ops.output import Json
from ops.samples.courier import Answer
from ops.samples.scrape import Readings

_TABLES: Mapping[str, tuple[str, ...]] = {
    "grants": ("plan_code", "entitlements", "active", "expires_at", "because"),
    "payments": ("payment_ref", "amount_minor", "amount_refunded_minor", "currency", "status"),
    "payment_events": ("kind", "amount_minor", "payment_ref", "event_type"),
    "audit": ("action", "target_id"),
}
_HEADERS = {"amount_minor": "amount", "amount_refunded_minor": "refunded"}
"""Shorter than the columns they name, so that a row fits into a narrow terminal."""

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
    console.print(_table(("metric", "by"), _by_outcome(account.metrics).items()))
    _print_verdict(account, console)


def _act(act: Act) -> Json:
    seen = act.observed
    tables = {_TITLES[name]: [_plain(row) for row in getattr(seen, name)] for name in _TABLES}
    return {
        "title": act.title,
        "user_id": act.expected.user_id,
        "read_api": _said(act.told.document if act.told else None),
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
            delivered.event.id,
            f"{delivered.answer.status} {_status(delivered.answer.document)}",
        )
        for delivered in act.deliveries
    )
    console.print(_table(("sent", "event", "answered"), sent))
    for name, columns in _TABLES.items():
        rows = getattr(act.observed, name)
        cells = ([_cell(row[column]) for column in columns] for row in rows)
        headers = [_HEADERS.get(column, column) for column in columns]
        console.print(_table(headers, cells, title=_TITLES[name]))
    asked = f"GET /v1/users/{act.expected.user_id}/entitlements"
    console.print(_table(("asked over HTTP", "features"), [(asked, act.told_features)]))


def _print_knocks(knocks: Iterable[Knock], console: Console) -> None:
    rows = ((knock.title, str(knock.answer.status), _gist(knock.answer)) for knock in knocks)
    console.print(_table(("sent", "answered", "with"), rows))


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


def _status(document: object) -> str:
    """The word in the body; the whole body of every answer is in the JSON."""
    return str(document.get("status")) if isinstance(document, dict) else "without a body"


def _gist(answer: Answer) -> str:
    """What a problem document says, and the cached result of what was done before."""
    document = answer.document
    if isinstance(document, dict) and "title" in document:
        return f"{document['title']}: {document.get('detail')}"
    result = result_of(answer)
    return f"its cached result: {_cell(result)}" if result else answer.said


def _by_outcome(metrics: Readings) -> dict[str, float]:
    """The steps with the event types added up: there are more of them than a screen has lines."""
    steps: dict[str, float] = {}
    for name, step in metrics.items():
        shorter = re.sub(r'event_type="[^"]*",', "", name)
        steps[shorter] = steps.get(shorter, 0.0) + step
    return steps
