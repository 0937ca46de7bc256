from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, insert

from models.tables import StoredPayment
from ops.queries.object_pages import (
    CustomerFilter,
    ListedPayment,
    PaymentFilter,
    PurchaseFilter,
    SubscriptionFilter,
    customer_page,
    emails_of,
    payment_page,
    purchase_page,
    subscription_page,
)
from ops.queries.pages import Page, PageRequest
from ops.queries.parties import OWN_REALMS
from runtime.database.engine import engine_for
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers

START = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    yield engine
    engine.dispose()


def payment_row(number: int, drawn: dict[str, Any]) -> dict[str, Any]:
    return {
        "realm": "live",
        "payment_ref": f"pi_{number}",
        "amount_minor": 100,
        "currency": "usd",
        "inferred": False,
        "provisional": False,
        "party": "live:cus_1",
    } | drawn


def all_of(read: Callable[[PageRequest], Page[ListedPayment]], size: int) -> list[str]:
    found: list[str] = []
    asked = PageRequest(limit=size)
    while True:
        page = read(asked)
        found += [each.payment_ref for each in page.rows]
        assert page.after is None or page.after != asked.after, "a page leads to itself"
        if page.after is None:
            return found
        asked = PageRequest(after=page.after, limit=size)


DRAWN = st.fixed_dictionaries(
    {
        "status": st.sampled_from(("succeeded", "failed", "pending")),
        "user_id": st.sampled_from((None, "usr_1", "usr_2")),
        "stripe_customer_id": st.sampled_from((None, "cus_1")),
        "amount_refunded_minor": st.sampled_from((0, 5)),
        "dispute_status": st.sampled_from((None, "lost")),
        "plan_code": st.sampled_from((None, "premium")),
        "occurred_at": st.integers(0, 2).map(lambda second: START + timedelta(seconds=second)),
    }
)
SECONDS = st.none() | st.integers(0, 3).map(lambda second: START + timedelta(seconds=second))
FILTERS = st.builds(
    PaymentFilter,
    status=st.sampled_from((None, "failed", "succeeded")),
    user=st.sampled_from((None, "usr_1")),
    customer=st.sampled_from((None, "cus_1")),
    plan=st.sampled_from((None, "premium")),
    refunded=st.booleans(),
    disputed=st.booleans(),
    since=SECONDS,
    until=SECONDS,
)


def matches(row: dict[str, Any], wanted: PaymentFilter) -> bool:
    return (
        wanted.status in (None, row["status"])
        and wanted.user in (None, row["user_id"])
        and wanted.customer in (None, row["stripe_customer_id"])
        and wanted.plan in (None, row["plan_code"])
        and (not wanted.refunded or row["amount_refunded_minor"] > 0)
        and (not wanted.disputed or row["dispute_status"] is not None)
        and (wanted.since is None or row["occurred_at"] >= wanted.since)
        and (wanted.until is None or row["occurred_at"] < wanted.until)
    )


@settings(
    max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(rows=st.lists(DRAWN, max_size=20), wanted=FILTERS, size=st.integers(1, 6))
def test_the_pages_are_the_payments_that_match_newest_first(
    engine: Engine, rows: Sequence[dict[str, Any]], wanted: PaymentFilter, size: int
) -> None:
    payments = [payment_row(number, each) for number, each in enumerate(rows)]
    expected = [each for each in payments if matches(each, wanted)]
    expected.sort(key=lambda each: (each["occurred_at"], each["payment_ref"]), reverse=True)
    with engine.connect() as connection:
        if payments:
            connection.execute(insert(StoredPayment), payments)

        found = all_of(
            lambda asked: payment_page(connection, wanted, asked, realms=OWN_REALMS), size
        )

        assert found == [each["payment_ref"] for each in expected]
        connection.rollback()


def test_objects_of_a_user_are_found_by_what_leads_to_them(books: SeededDatabase) -> None:
    books.tell("renewal", user="usr_1")
    books.tell("onetime", user="usr_2")
    first = PageRequest()
    with books.engine.connect() as connection:
        (customer,) = customer_page(connection, CustomerFilter(user="usr_1"), first).rows
        emails = emails_of(connection, [customer.party])[customer.party]
        by_email = customer_page(connection, CustomerFilter(email=emails[0].upper()), first)
        stripe_id = customer.stripe_customer_id
        of_customer = subscription_page(
            connection, SubscriptionFilter(customer=stripe_id), first, realms=OWN_REALMS
        )
        of_user = subscription_page(
            connection, SubscriptionFilter(user="usr_1", status="active"), first, realms=OWN_REALMS
        )
        with_price = subscription_page(
            connection, SubscriptionFilter(prices=("price_nothing",)), first, realms=OWN_REALMS
        )
        paid = payment_page(connection, PaymentFilter(user="usr_1"), first, realms=OWN_REALMS).rows
        of_invoice = payment_page(
            connection, PaymentFilter(invoice=paid[0].invoice_id), first, realms=OWN_REALMS
        )
        bought = purchase_page(
            connection, PurchaseFilter(user="usr_2", status="paid"), first, realms=OWN_REALMS
        )
        for_payment = purchase_page(
            connection,
            PurchaseFilter(payment=bought.rows[0].payment_ref, plan="lifetime"),
            first,
            realms=OWN_REALMS,
        )

    assert by_email.rows == (customer,)
    assert of_customer.rows == of_user.rows
    assert of_customer.rows[0].stripe_customer_id == stripe_id
    assert not with_price.rows
    assert of_invoice.rows == paid[:1]
    assert for_payment.rows == bought.rows


def test_customers_who_wait_for_a_user_are_listed(books: SeededDatabase) -> None:
    books.tell("renewal")
    with books.engine.connect() as connection:
        everyone = customer_page(connection, CustomerFilter(), PageRequest())
        waiting = customer_page(connection, CustomerFilter(without_user=True), PageRequest())

    assert (len(everyone.rows), len(waiting.rows)) == (1, 0)
