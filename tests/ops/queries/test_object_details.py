import pytest

from ops.queries.object_details import (
    customer_details,
    payment_details,
    purchase_details,
    subscription_details,
)
from ops.queries.object_pages import PaymentFilter, payment_page
from ops.queries.pages import PageRequest
from ops.queries.parties import OWN_REALMS
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers


def test_a_customer_a_subscription_and_its_payments_lead_to_each_other(
    books: SeededDatabase,
) -> None:
    books.tell("renewal")
    with books.engine.connect() as connection:
        (payment, *_) = payment_page(
            connection, PaymentFilter(user="usr_1"), PageRequest(), realms=OWN_REALMS
        ).rows
        (paid,) = payment_details(connection, payment.payment_ref, OWN_REALMS)
        (subscription,) = subscription_details(connection, paid.subscription or "", OWN_REALMS)
        (customer,) = customer_details(connection, payment.stripe_customer_id or "", OWN_REALMS)

    assert paid.payment == payment
    assert [each.kind for each in paid.movements] == ["received"]
    assert payment in subscription.payments
    assert payment.invoice_id in subscription.invoices
    assert {each.user_id for each in subscription.entitlements} == {"usr_1"}
    assert customer.subscriptions.rows == (subscription.subscription,)
    assert customer.payments.rows == subscription.payments
    assert customer.users == ("usr_1",)
    assert customer.emails == ("usr_1@example.com",)


def test_a_purchase_and_its_payment_lead_to_each_other(books: SeededDatabase) -> None:
    books.tell("refund_partial")
    with books.engine.connect() as connection:
        (payment,) = payment_page(
            connection, PaymentFilter(user="usr_1"), PageRequest(), realms=OWN_REALMS
        ).rows
        (paid,) = payment_details(connection, payment.payment_ref, OWN_REALMS)
        (bought,) = purchase_details(connection, paid.purchases[0].purchase_ref, OWN_REALMS)

    assert bought.payment == payment
    assert bought.lines == paid.purchases
    assert paid.subscription is None
    assert paid.entitlements == bought.entitlements
    assert [each.kind for each in paid.movements] == ["received", "refunded"]


def test_an_id_that_nothing_names_has_no_details(books: SeededDatabase) -> None:
    with books.engine.connect() as connection:
        assert not customer_details(connection, "cus_none", OWN_REALMS)
        assert not subscription_details(connection, "sub_none", OWN_REALMS)
        assert not payment_details(connection, "pi_none", OWN_REALMS)
        assert not purchase_details(connection, "pi_none", OWN_REALMS)
