"""What was fetched for an event before, so that whoever reads it again asks nobody.

Asked before the transaction begins: reading holds no locks. What changes in between is noticed
inside it, and read anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Engine, text

from billing.fetching.record import Fetched, Wanted, wanted_from_text
from billing.ids import EventId
from runtime.ledger.deliveries import Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What a settled event still wants of Stripe's API, and what it got before."""

    wanted: tuple[Wanted, ...] = ()
    fetched: Fetched | None = None


def recalled(engine: Engine, deliveries: Sequence[Delivery]) -> list[Delivery]:
    """The deliveries, the replays among them with what is stored beside their payload."""
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


def errand_of(engine: Engine, event_id: EventId) -> Errand:
    """How far fetching for an event has come; nothing of one that is not settled."""
    with engine.connect() as connection:
        row = connection.execute(_ERRAND, {"id": event_id}).one_or_none()
    if row is None:
        return Errand()
    return Errand(
        wanted=wanted_from_text(row.errand) if row.errand else (),
        fetched=Fetched.from_text(row.fetched) if row.fetched else None,
    )


def _stored(engine: Engine, ids: Sequence[EventId]) -> dict[EventId, Fetched]:
    with engine.connect() as connection:
        rows = connection.execute(_FETCHED, {"ids": list(ids)}).all()
    return {row.id: Fetched.from_text(row.fetched) for row in rows}


_FETCHED = text(
    "SELECT id, fetched FROM stripe_events WHERE id = ANY(:ids) AND fetched IS NOT NULL"
)
_ERRAND = text("SELECT errand, fetched FROM stripe_events WHERE id = :id")
