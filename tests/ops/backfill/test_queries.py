"""The report names the customers without a user and the prices in no plan, with what is on them."""

import pytest

from billing.envelope import parse
from billing.ids import realm_of
from ops.backfill.queries import customers_without_user, prices_in_no_plan
from ops.samples.emails import email_of
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers

TEST = realm_of(None, livemode=False)
NOBODY = b"nobody at all"


def tell(
    books: SeededDatabase,
    user: str,
    *,
    named: bool,
    address: str | None = None,
    price: str | None = None,
) -> None:
    """Record a renewed subscription of a customer, who bears a user or none."""
    changes = {email_of(user).encode(): (address or email_of(user)).encode()}
    if not named:
        changes[b'"user_id"'] = b'"nothing"'
        changes[b'"client_reference_id": "' + user.encode()] = b'"ignored": "' + user.encode()
    if price is not None:
        changes[b"price_premium_monthly"] = price.encode()
    bodies = [event.body for event in books.compose("renewal", user=user, seed=user).events]
    for old, new in changes.items():
        bodies = [body.replace(old, new) for body in bodies]
    books.settle(map(parse, bodies))


def test_a_customer_without_a_user_is_shown_with_its_address(books: SeededDatabase) -> None:
    tell(books, "usr_1", named=True)
    tell(books, "usr_2", named=False, address="ada@example.com")

    with books.engine.connect() as connection:
        found, total = customers_without_user(connection, TEST, limit=5)

    assert total == len(found) == 1
    assert found[0].emails == ("ada@example.com",)
    assert found[0].same_email is None
    assert found[0].running == 1


def test_one_known_user_with_the_same_address_is_a_hint(books: SeededDatabase) -> None:
    tell(books, "usr_1", named=True, address="ada@example.com")
    tell(books, "usr_2", named=False, address="ada@example.com")

    with books.engine.connect() as connection:
        (found,), _ = customers_without_user(connection, TEST, limit=5)

    assert found.same_email == "usr_1"


def test_two_known_users_with_the_same_address_are_no_hint(books: SeededDatabase) -> None:
    for user in ("usr_1", "usr_3"):
        tell(books, user, named=True, address="ada@example.com")
    tell(books, "usr_2", named=False, address="ada@example.com")

    with books.engine.connect() as connection:
        (found,), _ = customers_without_user(connection, TEST, limit=5)

    assert found.same_email is None


def test_all_are_counted_and_some_are_shown(books: SeededDatabase) -> None:
    for user in ("usr_1", "usr_2", "usr_3"):
        tell(books, user, named=False)

    with books.engine.connect() as connection:
        found, total = customers_without_user(connection, TEST, limit=2)
        live, _ = customers_without_user(connection, realm_of(None, livemode=True), limit=2)

    assert (len(found), total, live) == (2, 3, [])


def test_a_price_in_no_plan_is_counted_with_what_is_on_it(books: SeededDatabase) -> None:
    for user in ("usr_1", "usr_2"):
        tell(books, user, named=True, price="price_unheard_of")

    with books.engine.connect() as connection:
        (found,) = prices_in_no_plan(connection, TEST)

    assert (found.price, found.running, found.ended) == ("price_unheard_of", 2, 0)
