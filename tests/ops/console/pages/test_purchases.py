"""A purchase shows its lines, its payment and what it gives."""

from collections.abc import Iterator

import pytest

from tests.ops.console.pages.business_pages import BusinessPages
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers


@pytest.fixture
def console(books: SeededDatabase) -> Iterator[BusinessPages]:
    pages = BusinessPages(books.url)
    yield pages
    pages.close()


def test_a_purchase_leads_to_its_payment_user_and_plan(
    books: SeededDatabase, console: BusinessPages
) -> None:
    books.tell("onetime")
    (row,) = console.get("/purchases", status="paid", user="usr_1").main.rows()
    listed = [each["href"] for each in console.get("/purchases").main.all("a")]

    page = console.get(next(url for url in listed if url.startswith("/purchases/")))

    assert row[1:3] == ["paid", "lifetime"]
    found = page.main.links()
    assert found["usr_1"] == "/users/show?user_id=usr_1"
    assert found["lifetime"] == "/plans/show?code=lifetime"
    assert "in force" in page.text
    assert "99.00 USD" in page.text


def test_a_checkout_leads_to_what_it_sold(books: SeededDatabase, console: BusinessPages) -> None:
    books.tell("onetime")
    (payment,) = {row[6] for row in console.get("/purchases").main.rows()}
    named = console.get(f"/payments/{payment}").main.all("span", class_="id")
    session = next(each.text for each in named if each.text.startswith("cs_"))

    assert console.get(f"/purchases/{session}").location == f"/purchases/{payment}"
    assert console.get("/purchases/cs_none").status == 404
