"""Counts of what was paid for and grants nothing, by reason, on a real database."""

import pytest
from sqlalchemy import Engine

from runtime.ledger.record import Ledger
from runtime.ledger.without_grant import REASONS, count_without_grant
from tests.runtime.ledger.delivery_builders import delivery, event, intent, rows

pytestmark = pytest.mark.servers


def subscription(subscription_id: str, customer_id: str, **given: object) -> bytes:
    stated = {
        "id": subscription_id,
        "object": "subscription",
        "status": "active",
        "customer": customer_id,
        "metadata": {"user_id": f"usr_{customer_id}"},
        "items": {"data": [{"id": "si_1", "price": {"id": "price_x"}}]},
        **given,
    }
    return event("customer.subscription.created", stated)


def counted(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        found = count_without_grant(connection)
    assert tuple(found) == REASONS
    return {reason: count for reason, count in found.items() if count}


def test_nothing_is_counted_in_an_empty_database(engine: Engine) -> None:
    assert counted(engine) == {}


def test_prices_are_counted_once_and_what_lacks_something_by_its_objects(
    engine: Engine, ledger: Ledger
) -> None:
    cut = {"data": [{"id": "si_1", "price": {"id": "price_y"}}], "has_more": True}
    ledger.record(
        [
            delivery(subscription("sub_1", "cus_1")),
            delivery(subscription("sub_2", "cus_2")),
            delivery(subscription("sub_3", "cus_3", items=cut)),
            delivery(event("payment_intent.succeeded", intent("pi_1", customer="cus_4"))),
        ]
    )

    assert counted(engine) == {"unknown_price": 2, "unnamed": 1, "no_user": 1, "cut_list": 1}


def test_counting_reads_the_parties_that_lack_something_only(engine: Engine) -> None:
    (index,) = rows(
        engine,
        "SELECT pg_get_expr(indpred, indrelid) FROM pg_index"
        " WHERE indexrelid = 'parties_lacking_idx'::regclass",
    )
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO parties (party, catalogue_version, waiting, unknown_prices,"
            " incomplete_summaries, missing_subscriptions, undecided)"
            " SELECT 'p' || n, 1, false, '{}', '{}', '{}', '{}' FROM generate_series(1, 5000) AS n"
        )
        connection.exec_driver_sql("ANALYZE parties")
        plan = connection.exec_driver_sql(f"EXPLAIN SELECT 1 FROM parties WHERE {index}")  # noqa: S608
        assert "parties_lacking_idx" in " ".join(plan.scalars())
