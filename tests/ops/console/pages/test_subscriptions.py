"""A subscription shows its state, the payments of its invoices, and what it gives."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.ops.console.pages.business_pages import BusinessPages
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers


@pytest.fixture
def console(books: SeededDatabase) -> Iterator[BusinessPages]:
    pages = BusinessPages(books.url)
    yield pages
    pages.close()


def test_a_subscription_leads_to_user_customer_payments_and_plan(
    books: SeededDatabase, console: BusinessPages
) -> None:
    books.tell("renewal")
    links = console.get("/subscriptions").main.links()

    page = console.get(next(url for text, url in links.items() if text.startswith("sub_")))

    assert "active" in page.text
    assert "in force" in page.text
    found = page.main.links()
    assert found["usr_1"] == "/users/show?user_id=usr_1"
    assert found["premium"] == "/plans/show?code=premium"
    assert sum(text.startswith("pi_") for text in found) >= 2
    assert any(url.startswith("/customers/") for url in found.values())


def test_subscriptions_are_filtered_by_status_plan_and_end(
    books: SeededDatabase, console: BusinessPages
) -> None:
    books.tell("renewal", user="usr_1", seed="a")
    books.tell("upgrade", user="usr_2", seed="b")

    def users(**given: Any) -> set[str]:
        return {row[3] for row in console.get("/subscriptions", **given).main.rows()}

    assert users() == {"usr_1", "usr_2"}
    assert users(status="active", user="usr_2") == {"usr_2"}
    assert users(status="canceled") == set()
    assert users(plan="premium") == {"usr_1"}
    assert users(plan="team") == {"usr_2"}
    assert users(user="usr_1", canceling="1") == set()


def test_a_plan_that_does_not_exist_is_said(console: BusinessPages) -> None:
    page = console.get("/subscriptions", plan="<b>")

    assert page.status == 422
    assert "There is no plan “<b>”." in page.text
    assert console.get("/subscriptions/sub_none").status == 404
