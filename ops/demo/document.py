"""The demonstration's account, for programs."""

import json
from collections.abc import Mapping
from typing import Any

from ops.demo.result import Account, Act, Knock
from ops.demo.stopwatch import Stopwatch
from ops.terminal.output import Json

TABLES: Mapping[str, str] = {
    "grants": "user_entitlements",
    "payments": "payments",
    "payment_events": "payment_events",
    "audit": "audit_logs",
}
"""The table that each part of what was observed is read from."""


def as_document(account: Account, stopwatch: Stopwatch) -> Json:
    """The whole account as JSON values; all times in seconds."""
    return {
        "ok": not account.problems,
        "problems": list(account.problems),
        "seconds": stopwatch.total,
        "parts": dict(stopwatch.parts),
        "first_paid_user_after": round(account.first_paid_seconds, 1),
        "acts": [_act(act) for act in account.acts],
        "knocks": [_knock(knock) for knock in account.knocks],
        "metrics": dict(account.metrics),
    }


def _act(act: Act) -> Json:
    seen = act.observed
    tables = {title: [_plain(row) for row in getattr(seen, name)] for name, title in TABLES.items()}
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
                "outcome": act.outcomes.get(delivered.event.id),
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
