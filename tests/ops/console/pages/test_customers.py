"""A customer leads to the user and to everything bought."""

from collections.abc import Iterator

import pytest

from billing.envelope import parse
from ops.console_tokens import Role
from ops.samples.emails import email_of
from tests.ops.console.pages.business_pages import BusinessPages
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.delivery_builders import checkout, event

pytestmark = pytest.mark.servers


@pytest.fixture
def console(books: SeededDatabase) -> Iterator[BusinessPages]:
    pages = BusinessPages(books.url)
    yield pages
    pages.close()


def test_a_customer_shows_user_address_payments_and_subscriptions(
    books: SeededDatabase, console: BusinessPages
) -> None:
    books.tell("renewal")
    listed = console.get("/customers").main

    page = console.get(next(url for text, url in listed.links().items() if text[:4] == "cus_"))

    assert page.main.links()["usr_1"] == "/users/show?user_id=usr_1"
    assert email_of("usr_1").lower() in page.text
    assert any(text.startswith("sub_") for text in page.main.links())
    assert any(text.startswith("pi_") for text in page.main.links())


def test_customers_are_found_by_user_and_by_address(
    books: SeededDatabase, console: BusinessPages
) -> None:
    books.tell("renewal", user="usr_1", seed="a")
    books.tell("renewal", user="usr_2", seed="b")

    by_user = console.get("/customers", user="usr_2").main.rows()
    by_address = console.get("/customers", email=email_of("usr_1").upper()).main.rows()

    assert [row[1] for row in by_user] == ["usr_2"]
    assert [row[1] for row in by_address] == ["usr_1"]


def test_a_customer_without_a_user_is_listed_and_may_be_linked_by_an_operator(
    books: SeededDatabase, console: BusinessPages
) -> None:
    guest = checkout("cs_guest", client_reference_id=None, customer="cus_guest")
    books.settle([parse(event("checkout.session.completed", guest))])

    (row,) = console.get("/customers", without_user="1").main.rows()
    page = console.get("/customers/cus_guest")
    viewed = console.get("/customers/cus_guest", role=Role.VIEWER)

    assert row[:2] == ["cus_guest", "no user"]
    assert page.main.links()["Say whose it is"] == "/users/links/new?target=cus_guest"
    assert "Say whose it is" not in viewed.main.links()


def test_an_unknown_customer_is_not_found(console: BusinessPages) -> None:
    assert console.get("/customers/cus_none").status == 404
    assert "No customer is known yet." in console.get("/customers").text
