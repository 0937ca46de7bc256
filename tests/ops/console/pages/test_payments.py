"""A payment shows its money, what it was for, and the events and entries that say so."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.ops.console.pages.business_pages import BusinessPages
from tests.ops.console.pages.page_client import HOSTILE
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers


@pytest.fixture
def console(books: SeededDatabase) -> Iterator[BusinessPages]:
    pages = BusinessPages(books.url)
    yield pages
    pages.close()


def ids(console: BusinessPages, path: str, prefix: str) -> list[str]:
    """Return the ids of a kind that a page links to, in its order."""
    links = console.get(path).main.links()
    return [text for text in links if text.startswith(prefix)]


def test_a_payment_shows_money_movements_what_it_granted_and_its_events(
    books: SeededDatabase, console: BusinessPages
) -> None:
    books.tell("refund_partial")
    (payment,) = ids(console, "/payments", "pi_")

    page = console.get(f"/payments/{payment}")

    tiles = [each.text for each in page.main.all("div", class_="tile")]
    assert tiles[0].startswith("Amount 99.00 USD")
    assert tiles[1].startswith("Refunded 40.00 USD59.00 USD stays")
    assert "received" in page.text
    assert "-40.00 USD" in page.text
    assert "charge.refunded" in page.text
    links = page.main.links()
    assert links["usr_1"] == "/users/show?user_id=usr_1"
    assert any(url.startswith("/customers/cus_") for url in links.values())
    assert links["lifetime"] == "/plans/show?code=lifetime"


def test_an_invoice_a_charge_and_a_dispute_lead_to_their_payment(
    books: SeededDatabase, console: BusinessPages
) -> None:
    books.tell("dispute_lost", user="usr_1", seed="a")
    (payment,) = ids(console, "/payments", "pi_")
    shown = console.get(f"/payments/{payment}").main
    named = [each.text for each in shown.all("span", class_="id")]
    charge = next(each for each in named if each.startswith("ch_"))
    dispute = next(each for each in named if each.startswith("dp_"))
    books.tell("renewal", user="usr_2", seed="b")
    renewals = console.get("/payments", user="usr_2").main.rows()
    invoice = renewals[0][-1]

    assert console.get(f"/payments/{charge}").location == f"/payments/{payment}"
    assert console.get(f"/payments/{dispute}").location == f"/payments/{payment}"
    assert console.get(f"/payments/{invoice}").location == f"/payments/{renewals[0][1][:-5]}"
    assert console.get("/payments/in_none").status == 404
    assert console.get("/payments/pi_none").status == 404


def test_filters_hold_together_and_pages_lead_on(
    books: SeededDatabase, console: BusinessPages
) -> None:
    for number in range(3):
        books.tell("onetime", user=f"usr_{number}", seed=str(number))
    books.tell("refund_full", user="usr_back", seed="back")

    refunded = console.get("/payments", refunded="1")
    of_user = console.get("/payments", user="usr_1", status="succeeded")
    nothing = console.get("/payments", user="usr_1", refunded="1")

    assert [row[4] for row in refunded.main.rows()] == ["usr_back"]
    assert [row[4] for row in of_user.main.rows()] == ["usr_1"]
    assert "No payment matches." in nothing.text
    assert len(console.get("/payments").main.rows()) == 4


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"status": "lost"}, "is none of"),
        ({"since": "soon"}, "is no time"),
        ({"since": "2026-01-02", "until": "2026-01-01"}, "ends before it begins"),
    ],
)
def test_a_filter_that_cannot_be_understood_is_said_and_kept(
    console: BusinessPages, given: dict[str, Any], says: str
) -> None:
    page = console.get("/payments", **given)

    assert page.status == 422
    assert says in page.main.one("div", role="alert").text


def test_a_cursor_of_no_list_leads_to_the_first_page(console: BusinessPages) -> None:
    for path in ("/payments", "/purchases", "/subscriptions", "/customers"):
        assert console.get(path, after="none", user="usr_1").location == f"{path}?user=usr_1"


@pytest.mark.parametrize("text_of_others", HOSTILE)
def test_a_text_of_others_stays_a_text_in_every_filter(
    console: BusinessPages, text_of_others: str
) -> None:
    names = ("user", "customer", "invoice", "plan", "payment", "email", "status", "since", "after")
    for path in ("/payments", "/purchases", "/subscriptions", "/customers"):
        for name in names:
            given: dict[str, Any] = {name: text_of_others}
            page = console.get(path, **given)
            if page.status != 303:
                assert page.main.one("h1").text
