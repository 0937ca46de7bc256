"""Answers of Stripe's API that are stored with an event, so that reading it again asks nothing.

They are read before the transaction begins, since reading events holds no locks. The transaction
notices what changed in between and reads it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Engine, text

from billing.fetching.record import FetchPlan, FetchRecord, targets_from_text
from billing.ids import EventId
from runtime.ledger.deliveries import Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFetches:
    """The state of fetching for a settled event: what is pending and what was fetched."""

    pending: FetchPlan = ()
    fetched: FetchRecord | None = None


def with_stored_fetches(engine: Engine, deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Return the deliveries, replays with the answers that are stored beside their payload."""
    ids = [each.envelope.event_id for each in deliveries if each.replayed and each.fetched is None]
    stored = _stored(engine, ids) if ids else {}
    return [
        replace(each, fetched=found)
        if each.replayed
        and each.fetched is None
        and (found := stored.get(each.envelope.event_id)) is not None
        else each
        for each in deliveries
    ]


def load_stored_fetches(engine: Engine, event_id: EventId) -> StoredFetches:
    """Return the state of fetching for an event; it is empty if the event is not settled."""
    with engine.connect() as connection:
        row = connection.execute(_PENDING, {"id": event_id}).one_or_none()
    if row is None:
        return StoredFetches()
    return StoredFetches(
        pending=targets_from_text(row.pending_fetches) if row.pending_fetches else (),
        fetched=FetchRecord.from_text(row.fetched) if row.fetched else None,
    )


def _stored(engine: Engine, ids: Sequence[EventId]) -> dict[EventId, FetchRecord]:
    with engine.connect() as connection:
        rows = connection.execute(_FETCHED, {"ids": list(ids)}).all()
    return {row.id: FetchRecord.from_text(row.fetched) for row in rows}


_FETCHED = text(
    "SELECT id, fetched FROM stripe_events WHERE id = ANY(:ids) AND fetched IS NOT NULL"
)
_PENDING = text("SELECT pending_fetches, fetched FROM stripe_events WHERE id = :id")
