"""Settled events as lines that a file can keep: everything it takes to settle them elsewhere."""

import json
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, func, select

from models.tables import StripeEvent
from ops.queries.events import Filter, conditions
from ops.terminal.output import plain

_READ_AT_ONCE: Final = 200
_COLUMNS: Final = (
    StripeEvent.id,
    StripeEvent.type,
    StripeEvent.api_version,
    StripeEvent.account,
    StripeEvent.livemode,
    StripeEvent.created_at,
    StripeEvent.received_at,
    StripeEvent.applied_at,
    StripeEvent.outcome,
    StripeEvent.reason,
    StripeEvent.attempts,
    StripeEvent.origin,
    StripeEvent.payload,
    StripeEvent.payload_sha256,
    StripeEvent.fetched,
)


def count(connection: Connection, wanted: Filter) -> int:
    """How many there are."""
    query = select(func.count()).select_from(StripeEvent).where(*conditions(wanted))
    return connection.scalar(query) or 0


def lines(connection: Connection, wanted: Filter) -> Iterator[bytes]:
    """One line of JSON for each, in the order in which they were settled; few are in memory."""
    query = select(*_COLUMNS).where(*conditions(wanted)).order_by(StripeEvent.settlement)
    found = connection.execute(query, execution_options={"yield_per": _READ_AT_ONCE})
    for row in found.mappings():
        yield _line(dict(row))


def _line(row: dict[str, Any]) -> bytes:
    # ASCII, since there are characters at which some readers end a line and others do not.
    written = {name: plain(value) for name, value in row.items()}
    return json.dumps(written, separators=(",", ":")).encode() + b"\n"
