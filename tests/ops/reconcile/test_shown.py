"""Our side of the totals counts money on the days on which Stripe counts it."""

from datetime import UTC, date, datetime

import pytest
import sqlalchemy as sa

from billing.ids import Realm
from models.tables import PaymentEvent
from ops.reconcile.shown import our_totals
from ops.reconcile.totals import MoneyStatus
from runtime.database.engine import engine_for

pytestmark = pytest.mark.servers

TEST = Realm("test")


def test_a_refund_that_failed_later_counts_on_no_day(database: str) -> None:
    moved = [
        ("pi_1", "refunded", -500, 2),
        ("pi_1", "refund_reversed", 500, 9),
        ("pi_2", "refunded", -300, 3),
        ("pi_3", "refund_reversed", 70, 4),
    ]
    rows = [
        {
            "realm": TEST,
            "payment_ref": payment,
            "kind": kind,
            "amount_minor": amount,
            "currency": "eur",
            "occurred_at": datetime(2026, 11, day, 12, tzinfo=UTC),
        }
        for payment, kind, amount, day in moved
    ]
    engine = engine_for(database, application_name="tests")
    with engine.begin() as connection:
        connection.execute(sa.insert(PaymentEvent), rows)
        totals = our_totals(connection, TEST, None)
        later = our_totals(connection, TEST, datetime(2026, 11, 4, tzinfo=UTC))
    engine.dispose()

    back = {(line.day, line.status): amount for line, amount in totals.items()}
    assert back == {
        (date(2026, 11, 3), MoneyStatus.REFUNDED): 300,
        (date(2026, 11, 4), MoneyStatus.REFUNDED): -70,
    }
    assert sum(later.values()) == -70
