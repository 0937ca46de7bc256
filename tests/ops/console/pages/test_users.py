"""The page of a user begins with what they may do now or could do then, and proves it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from billing.envelope import parse
from ops.console_tokens import Role
from ops.queries.waiting_events import InboxSearch
from ops.samples.emails import email_of
from runtime.inbox.entries import Lane, PeekedEvent
from tests.ops.console.pages.business_pages import BusinessPages
from tests.ops.console.pages.page_client import HOSTILE
from tests.ops.queries.seeded_database import SeededDatabase, tell_sharing
from tests.runtime.ledger.delivery_builders import checkout, event

pytestmark = pytest.mark.servers


@pytest.fixture
def console(books: SeededDatabase) -> Iterator[BusinessPages]:
    pages = BusinessPages(books.url)
    yield pages
    pages.close()


def test_the_answer_comes_first_with_the_source_the_event_and_the_payment(
    books: SeededDatabase, console: BusinessPages
) -> None:
    renewal = books.tell("renewal")

    page = console.get("/users/show", user_id="usr_1")

    assert page.status == 200
    answer = page.main.one("p", class_="sentence")
    assert answer.text.startswith("May use max_devices 5, signals_enabled, with no end")
    links = page.main.links()
    subscription = next(text for text in links if text.startswith("sub_"))
    assert links[subscription] == f"/subscriptions/{subscription}"
    assert any(text in {each.id for each in renewal.events} for text in links)
    assert "Paid by" in page.text


def test_an_address_or_an_id_of_stripe_leads_straight_to_the_user(
    books: SeededDatabase, console: BusinessPages
) -> None:
    books.tell("renewal")

    assert console.get("/users", q=email_of("usr_1")).location == "/users/show?user_id=usr_1"
    customer = next(
        text
        for text in console.get("/users/show", user_id="usr_1").main.links()
        if text.startswith("cus_")
    )
    assert console.get("/users", q=customer).location == "/users/show?user_id=usr_1"
    # The page of a user is under the user's own id alone.
    assert console.get("/users/show", user_id=customer).location == f"/users?q={customer}"


def test_an_address_of_several_users_lists_them(
    books: SeededDatabase, console: BusinessPages
) -> None:
    tell_sharing(books, "both@example.com", "usr_1", "usr_2")

    page = console.get("/users", q="both@example.com")

    assert page.main.rows() == [["usr_1"], ["usr_2"]]


def test_the_beginning_of_an_id_lists_the_users_with_it(
    books: SeededDatabase, console: BusinessPages
) -> None:
    books.tell("onetime", user="usr_1", seed="a")
    books.tell("onetime", user="usr_2", seed="b")

    assert console.get("/users", q="usr_").main.rows() == [["usr_1"], ["usr_2"]]


def test_without_a_text_those_who_changed_last_come_first(
    books: SeededDatabase, console: BusinessPages
) -> None:
    assert "No event has named a user yet." in console.get("/users").text
    books.tell("renewal", user="usr_1", seed="a")
    books.tell("onetime", user="usr_2", seed="b")

    rows = console.get("/users").main.rows()

    assert [user for user, *_ in rows] == ["usr_2", "usr_1"]


def test_an_unknown_user_is_said_to_be_unknown_and_may_be_given_access(
    console: BusinessPages,
) -> None:
    page = console.get("/users/show", user_id="usr_nobody")

    assert page.status == 404
    assert "nothing is granted" in page.text
    assert page.main.form("Show what would change")["new_user"] == "1"
    search = console.get("/users", q="usr_nobody")
    assert search.main.links()["Give a new user with this id access"].endswith("usr_nobody")


def test_a_past_moment_is_answered_from_the_audit(
    books: SeededDatabase, console: BusinessPages
) -> None:
    books.tell("renewal")

    then = console.get("/users/show", user_id="usr_1", at="0s")
    before = console.get("/users/show", user_id="usr_1", at="2020-01-01")

    assert "max_devices 5" in then.text
    assert "audit entry" in then.text
    assert "had no entry about access of usr_1" in before.text


@pytest.mark.parametrize("at", ["yesterday", "2999-01-01", "<b>", "99999999999999w"])
def test_a_moment_that_is_none_or_not_past_is_refused(
    books: SeededDatabase, console: BusinessPages, at: str
) -> None:
    books.tell("renewal")

    page = console.get("/users/show", user_id="usr_1", at=at)

    assert page.status == 422
    assert at in page.main.one("div", role="alert").text
    assert page.main.one("input", name="at")["value"] == at


def test_what_waits_for_a_user_is_said_where_the_customer_is_looked_for(
    books: SeededDatabase, console: BusinessPages
) -> None:
    guest = checkout("cs_guest", client_reference_id=None, customer="cus_guest")
    books.settle([parse(event("checkout.session.completed", guest))])

    page = console.get("/users", q="cus_guest")

    assert "no event names a user of cus_guest yet" in page.text.replace("No", "no")
    assert page.main.links()["Say whose it is"] == "/users/links/new?target=cus_guest"


def test_events_in_the_inbox_have_a_page_of_their_own(
    books: SeededDatabase, console: BusinessPages
) -> None:
    books.tell("renewal")
    console.inbox.found = InboxSearch(
        events=[
            PeekedEvent(
                key="evt_waits",
                state="waiting",
                lane=Lane.LIVE,
                due_at=None,
                body=b"{}",
                header={"type": "invoice.paid"},
                received_at=datetime(2026, 11, 1, tzinfo=UTC),
                history={"last_error": "first line\nsecond line"},
            )
        ]
    )

    page = console.get("/users/inbox", user_id="usr_1")

    assert "evt_waits invoice.paid" in page.text
    assert "first line" in page.text
    assert "second line" not in page.text
    console.inbox.found = InboxSearch(error="Redis does not answer")
    assert "Redis does not answer" in console.get("/users/inbox", user_id="usr_1").text


@pytest.mark.parametrize("user", [*HOSTILE, "a/b/../c", "..", "usr 1?x=1&y=2#z", "üser"])
def test_any_text_may_be_the_id_of_a_user(
    books: SeededDatabase, console: BusinessPages, user: str
) -> None:
    bought = checkout("cs_any", client_reference_id=user, customer="cus_any")
    books.settle([parse(event("checkout.session.completed", bought))])

    page = console.get("/users/show", user_id=user)

    assert page.status == 200
    assert page.main.one("h1").text == " ".join(user.split())
    listed = console.get("/users").main
    assert console.get(listed.links()[user]).status == 200


def test_a_viewer_is_shown_no_way_to_change_anything(
    books: SeededDatabase, console: BusinessPages
) -> None:
    books.tell("renewal")

    page = console.get("/users/show", role=Role.VIEWER, user_id="usr_1")

    assert {each.attributes.get("method", "get") for each in page.main.all("form")} == {"get"}
    assert not [text for text in page.main.links() if text in ("End", "Give access", "Take back")]


def test_before_any_plans_a_page_that_needs_them_says_how_to_apply_them(
    books: SeededDatabase, console: BusinessPages
) -> None:
    with books.engine.begin() as connection:
        connection.exec_driver_sql("TRUNCATE catalogues CASCADE")
    form: dict[str, Any] = {"user_id": "usr_new", "new_user": "1", "plan": "premium"}

    page = console.get("/users/show", user_id="usr_new")
    sent = console.post("/users/grants", **form, reason="tests", idempotency_key="1")

    assert (page.status, sent.status) == (503, 503)
    assert "run paidup migrate" in page.text
    assert "run paidup migrate" in sent.text
