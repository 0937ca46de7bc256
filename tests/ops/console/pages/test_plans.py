"""Plans show what they sell, give and who holds them, and a document is compared with them."""

from collections.abc import Iterator

import pytest

from billing.catalogue import read_catalogue
from ops.console.pages.plans_comparison import compare
from ops.demo.plans import PLANS
from tests.ops.console.pages.business_pages import BusinessPages
from tests.ops.console.pages.page_client import HOSTILE
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers

ANOTHER = '[plans.premium]\nprices = ["price_premium_monthly"]\nfeatures = {max_devices = 9}\n'


@pytest.fixture
def console(books: SeededDatabase) -> Iterator[BusinessPages]:
    pages = BusinessPages(books.url)
    yield pages
    pages.close()


def test_the_plans_in_force_say_what_they_give_and_how_many_hold_them(
    books: SeededDatabase, console: BusinessPages
) -> None:
    books.tell("renewal", user="usr_1", seed="a")
    books.tell("onetime", user="usr_2", seed="b")

    page = console.get("/plans")

    by_plan = {row[0]: row for row in page.main.rows()}
    assert "max_devices 5" in by_plan["premium"][1]
    assert "price_premium_monthly" in by_plan["premium"][2]
    assert by_plan["premium"][4] == "1"
    assert by_plan["lifetime"][4] == "1"
    assert "tests" in page.text


def test_a_plan_lists_its_holders_with_the_reason(
    books: SeededDatabase, console: BusinessPages
) -> None:
    books.tell("renewal")

    page = console.get("/plans/show", code="premium")

    (row,) = page.main.rows()
    assert row[0] == "usr_1"
    assert row[1].startswith("sub_")
    assert console.get("/plans/show", code="none").status == 404
    assert console.get("/plans/show").status == 404


def test_prices_that_no_plan_has_are_listed(books: SeededDatabase, console: BusinessPages) -> None:
    assert "None: every price that is paid is in a plan" in console.get("/plans/prices").text


def test_a_document_is_compared_and_nothing_is_changed(
    books: SeededDatabase, console: BusinessPages
) -> None:
    books.tell("renewal")

    page = console.post("/plans/diff", document=ANOTHER)
    same = console.post("/plans/diff", document=PLANS.read_text())

    assert "access of 1 user would change" in page.main.one("p", class_="sentence").text
    (row,) = [row for row in page.main.rows() if row[0] == "usr_1"]
    assert "max_devices 5" in row[1]
    assert "max_devices 9" in row[2]
    assert "The same plans as version 1" in same.main.one("p", class_="sentence").text
    assert "max_devices 5" in console.get("/users/show", user_id="usr_1").text


@pytest.mark.parametrize(
    "document", ["plans = ", "[plans.x]\nprices = 3\n", '[plans.x]\ncolour = "red"\n', *HOSTILE]
)
def test_mistakes_of_a_document_are_said_and_it_is_kept(
    console: BusinessPages, document: str
) -> None:
    page = console.post("/plans/diff", document=document)

    assert page.status == 422
    assert page.main.one("div", role="alert").text
    assert page.main.one("textarea").text == " ".join(document.split())


def test_a_document_that_is_too_long_is_refused(console: BusinessPages) -> None:
    assert console.post("/plans/diff", document="#" * 300_000).status == 413


def test_a_comparison_stops_in_time_and_goes_on_behind_the_last_customer(
    books: SeededDatabase,
) -> None:
    for number in range(30):
        books.tell("first_paid", user=f"usr_{number:02}", seed=str(number))
    plans = read_catalogue({"plans": {"premium": {"prices": ["price_premium_monthly"]}}})

    with books.engine.connect() as connection:
        first = compare(connection, plans, after="", seconds=0.0)
        assert first.after is not None
        second = compare(connection, plans, after=first.after, seconds=60.0)

    assert first.found.parties < 30
    assert second.after is None
    assert first.found.parties + second.found.parties == 30
    assert not first.found.users & second.found.users
    assert len(first.found.users | second.found.users) == 30


def test_before_any_plans_were_applied_a_comparison_says_what_to_do(database: str) -> None:
    pages = BusinessPages(database)
    try:
        page = pages.post("/plans/diff", document=ANOTHER)
    finally:
        pages.close()

    assert page.status == 503
    assert "no plans have been applied yet; run paidup migrate" in page.text
