"""``paidup links``: whose an object or a customer is, what waits, and what moves by a link."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from billing.envelope import parse
from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.delivery_builders import (
    NOW,
    checkout,
    contents,
    customer,
    event,
    intent,
)
from tests.runtime.ledger.moves_in_steps import end_move, every_past_is_long
from tests.runtime.ledger.test_archives import PAYMENTS

pytestmark = pytest.mark.servers

WHY = ("--reason", "bought before signing up", "--as", "ada")


@pytest.fixture
def books(books: SeededDatabase, deployed: Callable[..., None]) -> SeededDatabase:
    """A guest's paid purchase, and a user who bought something under the same customer."""
    deployed(DATABASE_URL=books.url)
    guest = checkout("cs_guest", client_reference_id=None, customer="cus_1")
    guest["customer_details"] = {"email": "Ada@example.com"}
    mine = checkout("cs_mine", client_reference_id="usr_2", customer="cus_2")
    mine["customer_details"] = {"email": "ada@example.com"}
    bodies = [
        event("customer.created", customer("cus_1")),
        event("checkout.session.completed", guest),
        event("checkout.session.completed", mine),
    ]
    books.settle(map(parse, bodies))
    return books


def rows(books: SeededDatabase, query: str) -> list[Any]:
    with books.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


HOLDERS = "SELECT user_id, source FROM user_entitlements WHERE active ORDER BY user_id, source"


def linked(paidup: Paidup, *arguments: str, code: int = 0) -> Any:
    return json.loads(paidup("links", "add", *arguments, *WHY, "--json", code=code))


def test_a_guests_purchase_is_claimed_with_its_money(books: SeededDatabase, paidup: Paidup) -> None:
    said = paidup("links", "add", "cs_guest", "usr_2", *WHY)

    assert "usr_2 gains plan premium from pi_of_cs_guest" in said
    assert "29.99 USD of pi_of_cs_guest is booked for usr_2" in said
    assert rows(books, HOLDERS) == [("usr_2", "pi_of_cs_guest"), ("usr_2", "pi_of_cs_mine")]


def test_a_dry_run_says_what_would_move_and_moves_nothing(
    books: SeededDatabase, paidup: Paidup
) -> None:
    before = contents(books.engine)

    would = linked(paidup, "cs_guest", "usr_2", "--dry-run")

    assert [each["change"] for each in would["access"]] == ["gains"]
    assert contents(books.engine) == before


def test_what_stays_with_another_user_is_said(books: SeededDatabase, paidup: Paidup) -> None:
    other = checkout("cs_other", client_reference_id="usr_3", customer="cus_1")
    books.settle([parse(event("checkout.session.completed", other))])

    would = linked(paidup, "cs_guest", "usr_2", "--dry-run")

    assert [(each["user_id"], each["source"]) for each in would["stays"]] == [
        ("usr_3", "pi_of_cs_other")
    ]


def test_a_link_that_was_taken_back_moves_everything_back(
    books: SeededDatabase, paidup: Paidup
) -> None:
    link = linked(paidup, "cs_guest", "usr_2")["link"]
    assert "stands" in paidup("links", "list", "--user", "usr_2")

    paidup("links", "end", link, "--reason", "another Ada", "--as", "bob")

    assert rows(books, HOLDERS) == [("usr_2", "pi_of_cs_mine")]
    assert "no link matches" in paidup("links", "list")
    listed = json.loads(paidup("links", "list", "--all", "--json"))
    assert [(each["ended_by"], each["end_reason"]) for each in listed["links"]] == [
        ("cli:bob", "another Ada")
    ]
    paidup("links", "end", link, *WHY, code=1)
    assert "cli:bob ended" in paidup.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("cs_typo", "usr_2"), "no event has named cs_typo yet"),
        (("evt_1", "usr_2"), "cannot be linked"),
        (("cs_guest", "usr_typo"), "nothing has named the user 'usr_typo' yet"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    books: SeededDatabase, paidup: Paidup, arguments: tuple[str, str], says: str
) -> None:
    paidup("links", "add", *arguments, *WHY, code=1)

    assert says in paidup.err
    assert rows(books, "SELECT id FROM operator_statements") == []


def test_the_same_key_makes_one_link(books: SeededDatabase, paidup: Paidup) -> None:
    call = ("cs_guest", "usr_2", "--idempotency-key", "ticket-7")

    first, again = linked(paidup, *call), linked(paidup, *call)

    assert (first["link"], again["repeated"]) == (again["link"], True)
    assert len(rows(books, "SELECT id FROM operator_statements")) == 1


def test_what_waits_is_listed_with_whose_it_may_be_and_why(
    books: SeededDatabase, paidup: Paidup
) -> None:
    found = json.loads(paidup("links", "waiting", "--json"))["waiting"]

    assert {each["target"] for each in found} == {"pi_of_cs_guest"}
    (waiting,) = found
    assert waiting["customer"] == "cus_1"
    assert waiting["emails"] == ["ada@example.com"]
    assert waiting["candidates"] == [{"user_id": "usr_2", "why": "e-mail ada@example.com"}]
    assert "usr_2 (e-mail ada@example.com)" in paidup("links", "waiting")

    paidup("links", "add", waiting["target"], "usr_2", *WHY)

    assert "nothing waits for a user" in paidup("links", "waiting")


def test_explain_names_the_person_of_a_link_of_the_past(
    books: SeededDatabase, paidup: Paidup
) -> None:
    linked(paidup, "cs_guest", "usr_2")

    past = paidup("explain", "usr_2", "max_devices", "--at", "0s")

    assert "cli:ada (op_" in past
    assert "bought before signing up" in past


def test_explain_shows_the_links_of_a_user_with_who_made_them_and_how_to_take_them_back(
    books: SeededDatabase, paidup: Paidup
) -> None:
    link = linked(paidup, "cs_guest", "usr_2")["link"]

    said = paidup("explain", "usr_2")
    explained = json.loads(paidup("explain", "usr_2", "--json"))

    assert "cs_guest is of usr_2: cli:ada says so since" in said
    assert "(bought before signing up)" in said
    assert f"`paidup links end {link} --reason WHY` takes it back" in said
    assert [each["link"] for each in explained["links"]] == [link]
    assert "This is the user of" in paidup("explain", link)

    paidup("links", "end", link, *WHY)
    assert "cs_guest is of" not in paidup("explain", "usr_2")


def test_what_waits_may_be_linked_say_the_hints(books: SeededDatabase, paidup: Paidup) -> None:
    said = " ".join(paidup("explain", "cus_1").split())

    assert "`paidup links add cus_1 USER --reason WHY`" in said
    assert "set metadata.user_id on the customer in Stripe" in said
    listed = paidup("audit", "list", "--user", "cus_1", "--event", "evt_none")
    assert "`paidup links add cus_1 USER --reason WHY`" in listed
    assert "`paidup links waiting` shows" in paidup("doctor", code=1)


def test_the_user_of_a_link_is_found_by_an_address_or_another_customer(
    books: SeededDatabase, paidup: Paidup
) -> None:
    twin = checkout("cs_twin", client_reference_id="usr_9", customer="cus_9")
    twin["customer_details"] = {"email": "bob@example.com"}
    books.settle([parse(event("checkout.session.completed", twin))])

    for named in ("bob@example.com", "cus_9"):
        assert linked(paidup, "cus_1", named, "--dry-run")["user_id"] == "usr_9"
    paidup("links", "add", "cs_twin", "cus_1", *WHY, code=1)
    assert "no event names a user of cus_1 yet" in paidup.err


def test_the_note_below_what_waits_says_how_many_more_there_are(
    books: SeededDatabase, paidup: Paidup
) -> None:
    second = checkout("cs_second", client_reference_id=None, customer="cus_1")
    books.settle([parse(event("checkout.session.completed", second))])

    said = paidup("links", "waiting", "--limit", "1")
    document = json.loads(paidup("links", "waiting", "--limit", "1", "--json"))

    assert "1 more: --limit shows them" in said
    assert "the id of a customer claims all that waits under it" in said
    assert (len(document["waiting"]), document["total"]) == (1, 2)


def test_an_empty_list_of_links_names_the_call_that_shows_more(
    books: SeededDatabase, paidup: Paidup
) -> None:
    assert "`paidup links list --all`" in paidup("links", "list")
    said = paidup("links", "list", "--user", "usr_2", "--target", "cs_1")
    assert "`paidup links list --user usr_2 --target cs_1 --all`" in said
    assert paidup("links", "list", "--all") == "no link matches\n"


def test_the_answer_says_what_was_linked_and_what_was_taken_back(
    books: SeededDatabase, paidup: Paidup
) -> None:
    call = ("links", "add", "cs_guest", "usr_2", *WHY, "--idempotency-key", "k")

    would = paidup(*call, "--dry-run")
    said, again = paidup(*call), paidup(*call)
    ((link,),) = rows(books, "SELECT subject FROM operator_statements")
    ended = paidup("links", "end", link, *WHY)

    # A link that was not made has no id that could be taken back.
    assert would.startswith("would have linked cs_guest to usr_2\n")
    assert said.startswith(f"linked cs_guest to usr_2 by {link}\n")
    assert again.startswith(f"linked before: cs_guest to usr_2 by {link}\n")
    assert ended.startswith(f"took back {link}, which linked cs_guest to usr_2\n")


def test_what_waits_longest_comes_first_however_old_its_customer_is(
    books: SeededDatabase, paidup: Paidup
) -> None:
    late = checkout("cs_late", client_reference_id=None, customer="cus_old")
    early = checkout("cs_early", client_reference_id=None, customer="cus_young")
    left = {**late, "id": "cs_left", "status": "expired", "payment_status": "unpaid"}
    bodies = [
        event("checkout.session.expired", {**left, "payment_intent": None}, at=1_700_000_000),
        event("checkout.session.completed", late, at=1_700_300_000),
        event("checkout.session.completed", early, at=1_700_100_000),
    ]
    books.settle(map(parse, bodies))

    (oldest,) = json.loads(paidup("links", "waiting", "--limit", "1", "--json"))["waiting"]

    assert oldest["target"] == "pi_of_cs_early"


@pytest.fixture
def regular(books: SeededDatabase) -> SeededDatabase:
    """A user's customer who paid so often that old payments are archived."""
    premium: dict[str, Any] = {"customer": "cus_9", "metadata": {"plan_code": "premium"}}
    bodies = [event("customer.created", customer("cus_9", "usr_9"), at=NOW - 2000 * 3600)]
    for number in range(PAYMENTS):
        at = NOW - (1000 - number) * 3600
        bodies.append(event("payment_intent.succeeded", intent(f"pi_{number}", **premium), at=at))
    books.settle(map(parse, bodies))
    return books


OF_REGULAR = (
    "SELECT user_id, count(*) FROM user_entitlements WHERE active AND party = 'test:cus_9'"
    " GROUP BY user_id ORDER BY user_id"
)
LINK = ("cus_9", "usr_8", "--new-user")


def test_a_dry_run_shows_the_old_payments_that_would_follow_in_steps(
    regular: SeededDatabase, paidup: Paidup
) -> None:
    with every_past_is_long():
        would = linked(paidup, *LINK, "--dry-run")

    gains = [each for each in would["access"] if each["change"] == "gains"]
    assert len(gains) == PAYMENTS
    assert (would["stays"], would["more_follows"]) == ([], False)
    assert rows(regular, OF_REGULAR) == [("usr_9", PAYMENTS)]


def test_a_link_of_a_customer_with_a_long_past_says_that_old_payments_follow(
    regular: SeededDatabase, paidup: Paidup
) -> None:
    with every_past_is_long():
        made = linked(paidup, *LINK)
    moved = [each for each in made["access"] if each["change"] == "gains"]
    during = rows(regular, OF_REGULAR)
    end_move(regular.engine)

    assert made["more_follows"]
    assert made["stays"] == []
    assert during == [("usr_8", len(moved)), ("usr_9", PAYMENTS - len(moved))]
    assert rows(regular, OF_REGULAR) == [("usr_8", PAYMENTS)]


def test_a_link_of_one_payment_says_that_old_payments_follow_an_earlier_link(
    regular: SeededDatabase, paidup: Paidup
) -> None:
    newest = f"pi_{PAYMENTS - 1}"
    with every_past_is_long():
        linked(paidup, *LINK)
        made = linked(paidup, newest, "usr_7", "--new-user")

    assert made["more_follows"]
    end_move(regular.engine)
    assert rows(regular, OF_REGULAR) == [("usr_7", 1), ("usr_8", PAYMENTS - 1)]


def test_the_end_of_a_link_says_that_old_payments_follow_and_where_to_look(
    regular: SeededDatabase, paidup: Paidup
) -> None:
    link = linked(paidup, *LINK)["link"]

    with every_past_is_long():
        said = " ".join(paidup("links", "end", link, *WHY).split())
    end_move(regular.engine)

    assert "the customer has many old payments, which follow in steps: `paidup status`" in said
    assert rows(regular, OF_REGULAR) == [("usr_9", PAYMENTS)]
