"""Small Stripe events, deliveries of them, and the contents of the tables afterwards."""

import json
import tomllib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text

from billing.archiving.leaving import NoteKind
from billing.catalogue import Catalogue, read_catalogue
from billing.envelope import parse
from models.tables import metadata
from ops.samples.lifecycles.registry import Lifecycle
from runtime.ledger.deliveries import Delivery
from runtime.ledger.notes import NOTES

NOW = int(datetime.now(UTC).timestamp())
WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
"""Counts the sessions that wait for a lock."""
RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = count(1)

VOLATILE = {
    "stripe_events": {"received_at", "applied_at", "settlement"},
    "user_entitlements": {"updated_at", "archive"},
    "payments": {"archive"},
    "purchases": {"archive"},
    "facts": {"archive"},
    "memberships": {"archive"},
    "parties": {"archived_until", "dependencies", "waiting", *NoteKind},
    "user_versions": {"changed_at"},
    "audit_logs": {"id", "occurred_at"},
    "payment_events": {"id"},
    "catalogues": {"applied_at"},
}
"""Columns that tell when and in which order a row was written, and what is in an archive."""

POINTING = {"waiting_changes", "numbered_changes", "archive_keys", "archive_notes"}
"""Tables that only point at rows of the audit, or tell what is in an archive."""


def example_plans() -> Catalogue:
    """Return the plans of the sample shop."""
    path = Path(__file__).parents[3] / "ops" / "demo" / "demo.toml"
    return read_catalogue(tomllib.loads(path.read_text()))


def delivery(body: bytes, **given: Any) -> Delivery:
    """Return a delivery of a body as a worker claims it."""
    envelope = parse(body)
    values: dict[str, Any] = {
        "envelope": envelope,
        "received_at": RECEIVED,
        "attempts": 1,
        "origin": "stripe",
        "key": envelope.event_id,
    }
    return Delivery(**(values | given))


def deliveries(lifecycle: Lifecycle) -> list[Delivery]:
    """Return all events of a sample, in causal order."""
    return [delivery(event.body) for event in lifecycle.events]


def event(kind: str, stated: dict[str, Any], *, at: int = NOW, **given: Any) -> bytes:
    """Return an event of a type about an object; ``given`` replaces the defaults."""
    values = {
        "id": f"evt_{next(_numbers):06}",
        "object": "event",
        "type": kind,
        "api_version": "2026-10-28.endive",
        "livemode": False,
        "created": at,
        "data": {"object": stated},
    }
    return json.dumps(values | given).encode()


def customer(customer_id: str, user_id: str | None = None) -> dict[str, Any]:
    """Return a customer, linked to a user or not."""
    metadata = {"user_id": user_id} if user_id else {}
    return {"id": customer_id, "object": "customer", "metadata": metadata}


def intent(payment_id: str, amount: int = 2999, **given: Any) -> dict[str, Any]:
    """Return a payment intent that succeeded and names no user."""
    values = {
        "id": payment_id,
        "object": "payment_intent",
        "status": "succeeded",
        "amount": amount,
        "amount_received": amount,
        "currency": "usd",
        "metadata": {},
    }
    return values | given


def checkout(session_id: str, **given: Any) -> dict[str, Any]:
    """Return a paid checkout of the premium plan for usr_123."""
    values = {
        "id": session_id,
        "object": "checkout.session",
        "mode": "payment",
        "status": "complete",
        "payment_status": "paid",
        "amount_total": 2999,
        "currency": "usd",
        "client_reference_id": "usr_123",
        "metadata": {"plan_code": "premium"},
        "payment_intent": f"pi_of_{session_id}",
    }
    return values | given


def rows(source: Engine | Connection, query: str, **values: Any) -> list[Any]:
    """Return the result of a query; a single column comes without its tuple."""
    if isinstance(source, Engine):
        with source.connect() as connection:
            return rows(connection, query, **values)
    result = source.execute(text(query), values)
    single = len(result.keys()) == 1
    return [row[0] if single else row for row in result]


def contents(engine: Engine, *, without: Iterable[str] = ()) -> dict[str, list[str]]:
    """Return all rows of all tables, sorted by content; history in the order of writing.

    Notes about payments are one table, wherever they stand.
    """
    found = {
        table: _contents(engine, table, VOLATILE.get(table, set()))
        for table in sorted(metadata.tables.keys() - POINTING - set(without))
    }
    notes = rows(engine, f"SELECT to_jsonb(notes) FROM {NOTES}")  # noqa: S608 - our own words
    return found | {"notes": sorted(json.dumps(each, sort_keys=True) for each in notes)}


def _contents(engine: Engine, table: str, volatile: set[str]) -> list[str]:
    columns = [each.name for each in metadata.tables[table].columns if each.name not in volatile]
    history = table in {"audit_logs", "payment_events"}
    query = f"SELECT to_jsonb(t) FROM (SELECT {', '.join(columns)} FROM {table}"  # noqa: S608
    found = [json.dumps(row, sort_keys=True) for row in rows(engine, _ordered(query, history))]
    return found if history else sorted(found)


def _ordered(query: str, history: bool) -> str:  # noqa: FBT001 - private, named where it is called
    return f"{query} ORDER BY id) AS t" if history else f"{query}) AS t"


def refunded(payment_id: str, amount: int = 2999) -> dict[str, Any]:
    """Return the charge of a payment, refunded in full."""
    return {
        "id": f"ch_of_{payment_id}",
        "object": "charge",
        "status": "succeeded",
        "captured": True,
        "amount": amount,
        "amount_captured": amount,
        "amount_refunded": amount,
        "refunded": True,
        "currency": "usd",
        "payment_intent": payment_id,
        "metadata": {},
    }


def unbalanced(engine: Engine) -> list[Any]:
    """Return payments whose history does not sum, for each user, to what is left of them."""
    return rows(
        engine,
        "SELECT realm, payment_ref, who, coalesce(remains, 0), coalesce(booked, 0) FROM"
        " (SELECT realm, payment_ref, coalesce(user_id, '') AS who, currency,"
        " amount_minor - amount_refunded_minor AS remains FROM payments) AS payment"
        " FULL JOIN (SELECT realm, payment_ref, coalesce(user_id, '') AS who, currency,"
        " sum(amount_minor) AS booked FROM payment_events"
        " GROUP BY realm, payment_ref, coalesce(user_id, ''), currency) AS history"
        " USING (realm, payment_ref, who, currency)"
        " WHERE coalesce(remains, 0) <> coalesce(booked, 0)",
    )


def outcomes(settlements: Sequence[Any]) -> list[tuple[str, str | None]]:
    """Return the outcome of each settlement with its reason."""
    return [(str(each.outcome), each.reason) for each in settlements]
