"""The result of the demo as JSON values."""

import json
from collections.abc import Mapping
from typing import Any

from ops.demo.result import DemoResult, DemoStep, RejectionCheck
from ops.demo.stopwatch import Stopwatch
from ops.terminal.output import Json

TABLES: Mapping[str, str] = {
    "grants": "user_entitlements",
    "payments": "payments",
    "payment_events": "payment_events",
    "audit": "audit_logs",
}
"""The table behind each part of an observation."""


def as_document(result: DemoResult, stopwatch: Stopwatch) -> Json:
    """Return the whole result as JSON values; all times are in seconds."""
    return {
        "ok": not result.problems,
        "problems": list(result.problems),
        "seconds": stopwatch.total,
        "parts": dict(stopwatch.parts),
        "first_paid_user_after": round(result.first_paid_seconds, 1),
        "acts": [_step(step) for step in result.steps],
        "knocks": [_rejection(check) for check in result.rejections],
        "metrics": dict(result.metrics),
    }


def _step(step: DemoStep) -> Json:
    seen = step.observed
    tables = {title: [_plain(row) for row in getattr(seen, name)] for name, title in TABLES.items()}
    return {
        "title": step.title,
        "user_id": step.expected.user_id,
        "read_api": _said(step.read_response.document if step.read_response else None),
        "sent": [
            {
                "event_id": delivered.event.id,
                "type": delivered.event.type,
                "status": delivered.answer.status,
                "body": _said(delivered.answer.document),
                "outcome": step.outcomes.get(delivered.event.id),
            }
            for delivered in step.deliveries
        ],
        **tables,
    }


def _rejection(check: RejectionCheck) -> Json:
    return {
        "title": check.title,
        "status": check.answer.status,
        "body": _said(check.answer.document),
    }


def _said(document: object) -> Json:
    said: Json = json.loads(json.dumps(document))
    return said


def _plain(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        name: value if isinstance(value, (bool, int, dict, type(None))) else str(value)
        for name, value in row.items()
    }
