"""A link is previewed with what moves and what stays, made once, and taken back the same way."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from billing.envelope import parse
from ops.console_tokens import Role
from tests.ops.console.pages.business_pages import BusinessPages
from tests.ops.console.pages.page_client import HOSTILE
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.delivery_builders import checkout, customer, event

pytestmark = pytest.mark.servers

SHOW, MAKE, TAKE_BACK = "Show what would move", "Make this link", "Take this link back"


@pytest.fixture
def console(books: SeededDatabase) -> Iterator[BusinessPages]:
    """A guest's paid purchase, and a user who bought something under another customer."""
    guest = checkout("cs_guest", client_reference_id=None, customer="cus_1")
    mine = checkout("cs_mine", client_reference_id="usr_2", customer="cus_2")
    mine["customer_details"] = {"email": "ada@example.com"}
    bodies = [
        event("customer.created", customer("cus_1")),
        event("checkout.session.completed", guest),
        event("checkout.session.completed", mine),
    ]
    books.settle(map(parse, bodies))
    pages = BusinessPages(books.url)
    yield pages
    pages.close()


def statements(books: SeededDatabase) -> list[tuple[str, str, str]]:
    query = text("SELECT kind, actor, user_id FROM operator_statements ORDER BY made_at")
    with books.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def asked(console: BusinessPages, **given: str) -> dict[str, Any]:
    form = console.get("/users/links/new", target="cs_guest", user="usr_2").main.form(SHOW)
    return {**form, "reason": "bought as a guest", **given}


def test_a_preview_says_what_moves_and_moves_nothing(
    books: SeededDatabase, console: BusinessPages
) -> None:
    preview = console.post("/users/links/preview", **asked(console))

    assert "gains" in preview.text
    assert "usr_2: plan" in preview.text
    assert statements(books) == []


def test_a_confirmed_link_is_made_once_and_shown_on_the_users_page(
    books: SeededDatabase, console: BusinessPages
) -> None:
    form = console.post("/users/links/preview", **asked(console)).main.form(MAKE)

    made = console.post("/users/links", **form)
    again = console.post("/users/links", **form)

    page = console.get(made.location)
    assert made.location == again.location
    assert statements(books) == [("link", "console:ada", "usr_2")]
    assert "The link is made: cs_guest" in page.main.one("div", class_="done").text
    assert "cs_guest is of this user, says console:ada" in page.text


def test_an_address_means_the_user_behind_it(books: SeededDatabase, console: BusinessPages) -> None:
    preview = console.post("/users/links/preview", **asked(console, user="ada@example.com"))

    assert "usr_2" in preview.main.one("h1").text


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"reason": ""}, "a reason has"),
        ({"target": "evt_1"}, "cannot be linked"),
        ({"target": "cs_unknown"}, "no event has named cs_unknown yet"),
        ({"user": "usr_nobody"}, "tick “A new user”"),
    ],
)
def test_what_is_not_possible_is_said_and_what_was_typed_is_kept(
    books: SeededDatabase, console: BusinessPages, given: dict[str, str], says: str
) -> None:
    page = console.post("/users/links/preview", **asked(console, **given))

    assert page.status == 422
    assert says in page.main.one("div", role="alert").text.replace("A reason", "a reason").replace(
        "No event", "no event"
    )
    form = page.main.form(SHOW)
    assert {name: form[name] for name in given} == given
    assert statements(books) == []


def test_a_link_is_taken_back_with_a_reason_and_a_preview(
    books: SeededDatabase, console: BusinessPages
) -> None:
    form = console.post("/users/links/preview", **asked(console)).main.form(MAKE)
    page = console.get(console.post("/users/links", **form).location)
    (end,) = [each for each in page.main.all("a") if each.text == "Take back"]
    asking = console.get(end["href"]).main.form(SHOW)

    refused = console.post("/users/links/end/preview", **asking)
    preview = console.post("/users/links/end/preview", **{**asking, "reason": "wrong user"})
    assert len(statements(books)) == 1
    ended = console.get(console.post("/users/links/end", **preview.main.form(TAKE_BACK)).location)

    assert refused.status == 422
    assert "loses" in preview.text
    assert statements(books)[1:] == [("link_ended", "console:ada", "usr_2")]
    assert "The link is taken back" in ended.main.one("div", class_="done").text
    assert console.get("/users/links/end", link="link_none").status == 404


@pytest.mark.parametrize(
    "path",
    ["/users/links/preview", "/users/links", "/users/links/end/preview", "/users/links/end"],
)
def test_a_viewer_can_link_nothing(
    books: SeededDatabase, console: BusinessPages, path: str
) -> None:
    form = asked(console)

    assert console.post(path, role=Role.VIEWER, **form).status == 403
    for asking in ("/users/links/new", "/users/links/end"):
        assert console.get(asking, role=Role.VIEWER).status == 403
    assert statements(books) == []


@pytest.mark.parametrize("text_of_others", HOSTILE)
def test_a_text_of_others_stays_a_text(console: BusinessPages, text_of_others: str) -> None:
    typed = asked(console, target=text_of_others, user=text_of_others, reason=text_of_others)

    refused = console.post("/users/links/preview", **typed)
    made = console.post("/users/links/preview", **asked(console, reason=text_of_others))

    assert refused.status == 422
    assert " ".join(text_of_others.split()) in made.text
