"""Fill our side: the events that arrived, and what the company's events made of it."""

from datetime import UTC, datetime
from math import inf
from typing import Final

import psycopg
from sqlalchemy import Engine

from bench.reconcile.site import ReconcileSite
from billing.envelope import parse
from runtime.ledger.deliveries import Delivery
from runtime.ledger.record import Ledger
from tests.stripe.company import CompanyEvent
from tests.stripe.event_series import TYPE, EventSeries
from tests.stripe.gaps import heard_events

_AT_ONCE: Final = 100
_SETTLED: Final = (
    "COPY stripe_events (id, type, livemode, created_at, received_at, outcome, attempts, payload,"
    " payload_sha256, realm, fingerprint, origin) FROM STDIN"
)


def settle_series(url: str, series: EventSeries) -> None:
    """Write the rows of settled events; their bodies, which no comparison reads, are empty."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        with cursor.copy(_SETTLED) as copy:
            for number in range(series.count):
                at = datetime.fromtimestamp(series.created_at(number), UTC)
                row = (series.id_of(number), TYPE, False, at, at, "applied", 1, "{}", "")
                copy.write_row((*row, "test", "", "stripe"))
        connection.commit()
        cursor.execute("ANALYZE stripe_events")


def hear(engine: Engine, site: ReconcileSite) -> None:
    """Apply the company's events, except those that its gaps keep away."""
    ledger = Ledger(engine, livemode="any", accounts=frozenset(), deciding_seconds=inf)
    deliveries = [_delivery(each) for each in heard_events(site.company, site.gaps)]
    for start in range(0, len(deliveries), _AT_ONCE):
        ledger.record(deliveries[start : start + _AT_ONCE])


def _delivery(event: CompanyEvent) -> Delivery:
    envelope = parse(event.delivery().body)
    return Delivery(
        envelope=envelope,
        received_at=datetime.fromtimestamp(event.created, UTC),
        attempts=1,
        origin="stripe",
        key=envelope.event_id,
    )
