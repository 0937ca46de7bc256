"""One box finds users, addresses, ids of Stripe, plans, grants and links."""

from collections.abc import Iterator

import pytest

from ops.samples.emails import email_of
from tests.ops.console.pages.business_pages import BusinessPages
from tests.ops.console.pages.page_client import HOSTILE
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers


@pytest.fixture
def console(books: SeededDatabase) -> Iterator[BusinessPages]:
    pages = BusinessPages(books.url)
    yield pages
    pages.close()


def test_the_beginning_of_an_id_lists_what_begins_so(
    books: SeededDatabase, console: BusinessPages
) -> None:
    books.tell("renewal", user="usr_1", seed="a")
    books.tell("renewal", user="usr_2", seed="b")

    links = console.get("/search", q="usr_").main.one("ul", id="hits").links()

    assert links["Userusr_1"] == "/users/show?user_id=usr_1"
    assert links["Userusr_2"] == "/users/show?user_id=usr_2"


def test_an_exact_hit_leads_straight_to_its_page(
    books: SeededDatabase, console: BusinessPages
) -> None:
    books.tell("renewal")
    subscription = console.get("/subscriptions").main.rows()[0][0].split()[0]

    assert console.get("/search", q="usr_1").location == "/users/show?user_id=usr_1"
    assert console.get("/search", q=" usr_1 ").location == "/users/show?user_id=usr_1"
    assert console.get("/search", q=subscription).location == f"/subscriptions/{subscription}"
    assert console.get("/search", q="premium").location == "/plans/show?code=premium"
    address = email_of("usr_1")
    assert console.get("/search", q=address).location.startswith("/users?q=")


def test_a_box_that_lists_hits_while_one_types_does_not_lead_away(
    books: SeededDatabase, console: BusinessPages
) -> None:
    books.tell("renewal")

    page = console.get_as_htmx("/search", q="usr_1")

    assert page.status == 200
    assert "Userusr_1" in page.main.one("ul", id="hits").links()


def test_an_empty_search_says_what_can_be_searched(console: BusinessPages) -> None:
    page = console.get("/search")

    assert page.status == 200
    assert "Type your own id of a user" in page.text
    assert "Nothing begins with this" in console.get("/search", q="zzz").text


@pytest.mark.parametrize("text_of_others", [*HOSTILE, "\0", "%", "a" * 5000])
def test_any_text_may_be_searched_for(console: BusinessPages, text_of_others: str) -> None:
    page = console.get("/search", q=text_of_others)

    assert page.status == 200
    assert page.main.one("ul", id="hits").text
