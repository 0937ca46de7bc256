from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, insert

from models.tables import DeadLetter, StoredStatement
from ops.queries.object_pages import PaymentFilter, payment_page
from ops.queries.pages import PageRequest
from ops.queries.parties import OWN_REALMS
from ops.queries.search import MAX_HITS, SearchHit, search
from tests.ops.queries.seeded_database import SeededDatabase
from tests.ops.queries.test_dead_letter_pages import START, letter

pytestmark = pytest.mark.servers


@pytest.fixture
def connection(books: SeededDatabase) -> Iterator[Connection]:
    books.tell("renewal", user="usr_1")
    books.tell("refund_full", user="usr_12")
    with books.engine.connect() as connection:
        yield connection


def hits(connection: Connection, text: str) -> tuple[SearchHit, ...]:
    return search(connection, OWN_REALMS, text)


def named(connection: Connection, text: str) -> list[tuple[str, str]]:
    return [(each.kind, each.id) for each in hits(connection, text)]


def test_a_whole_user_id_comes_before_those_that_begin_with_it(connection: Connection) -> None:
    users = [each for each in hits(connection, "usr_1") if each.kind == "user"]

    assert [(each.id, each.exact) for each in users] == [("usr_1", True), ("usr_12", False)]
    assert hits(connection, " usr_1 ")[0] == users[0]


def test_an_address_is_found_in_any_case_and_by_its_beginning(connection: Connection) -> None:
    (whole,) = hits(connection, "USR_1@Example.com")

    assert (whole.kind, whole.detail, whole.exact) == ("email", "usr_1", True)
    found = [each for each in named(connection, "USR_1") if each[0] == "email"]
    assert found == [("email", "usr_12@example.com"), ("email", "usr_1@example.com")]


def test_every_kind_of_object_is_found_by_its_id_and_by_its_beginning(
    books: SeededDatabase, connection: Connection
) -> None:
    keys = connection.exec_driver_sql("SELECT object_key FROM memberships").scalars()
    ids = {key.partition(":")[2] for key in keys if "/" not in key}
    kinds = set()
    for stripe_id in ids:
        found = hits(connection, stripe_id)[0]
        assert (found.id, found.exact) == (stripe_id, True)
        assert found.customer is not None
        assert (found.kind, stripe_id) in named(connection, stripe_id[:-2])
        kinds.add(found.kind)

    assert {"customer", "subscription", "payment", "charge", "invoice", "refund"} <= kinds


def test_an_event_and_a_dead_letter_are_found_by_id(connection: Connection) -> None:
    event = connection.exec_driver_sql("SELECT id FROM stripe_events LIMIT 1").scalar_one()
    connection.execute(insert(DeadLetter), [letter("evt_dead1")])

    assert named(connection, event) == [("event", event)]
    assert ("event", event) in named(connection, event[:-3])
    assert named(connection, "evt_dead") == [("dead_letter", "evt_dead1")]
    assert hits(connection, "evt_dead1")[0].exact


def test_a_plan_is_found_by_a_part_of_its_code_and_by_its_price(connection: Connection) -> None:
    assert ("plan", "premium") in named(connection, "REMI")
    (price,) = hits(connection, "price_premium_monthly")
    assert (price.kind, price.detail, price.exact) == ("price", "premium", True)


def test_a_grant_is_found_by_its_id_and_by_the_id_of_its_statement(connection: Connection) -> None:
    grant = {
        "id": "op_1",
        "kind": "grant",
        "subject": "grant_1a",
        "realm": "any",
        "user_id": "usr_1",
        "says": {},
        "actor": "cli:ada",
        "reason": "goodwill",
        "made_at": START,
    }
    connection.execute(insert(StoredStatement), [grant])

    for text in ("grant_1a", "grant_1", "op_1"):
        (hit,) = hits(connection, text)
        assert (hit.kind, hit.id, hit.detail) == ("grant", "grant_1a", "usr_1")
        assert hit.exact == (text != "grant_1")


def test_a_payment_that_a_search_finds_is_the_one_that_is_listed(connection: Connection) -> None:
    wanted = PaymentFilter(user="usr_12")
    (payment,) = payment_page(connection, wanted, PageRequest(), realms=OWN_REALMS).rows

    assert named(connection, payment.payment_ref) == [("payment", payment.payment_ref)]


def test_a_text_that_many_bear_finds_a_bounded_number(
    books: SeededDatabase, connection: Connection
) -> None:
    connection.execute(insert(DeadLetter), [letter(f"evt_{n}") for n in range(100)])

    assert 8 <= len(hits(connection, "evt_")) <= MAX_HITS
    assert hits(connection, "no such text") == hits(connection, "  ") == ()
    assert hits(connection, "\0") == hits(connection, "usr_\ud800") == ()
