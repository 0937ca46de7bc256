"""Each known customer of the file gets the link of its line, once, and no other is touched."""

from collections.abc import Sequence
from functools import partial

import pytest

from billing.ids import Realm, realm_of
from ops.backfill.user_links import UserLinks, contradictions
from ops.backfill.users_file import MappedUser
from ops.queries.links import list_links
from ops.statements.grants import EndRequest
from ops.statements.links import LinkOperations
from runtime.ledger.record import Ledger
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers

TEST, LIVE = realm_of(None, livemode=False), realm_of(None, livemode=True)


def mapped(*lines: tuple[str, str]) -> tuple[MappedUser, ...]:
    return tuple(
        MappedUser(line=number, customer=customer, user_id=user)
        for number, (customer, user) in enumerate(lines, start=2)
    )


def customers(books: SeededDatabase) -> Sequence[tuple[str, str]]:
    with books.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT stripe_customer_id, user_id FROM customers ORDER BY 2"
        )
        return [(row[0], row[1]) for row in rows]


def links_of(books: SeededDatabase, realm: Realm = TEST, reason: str = "moved in") -> UserLinks:
    ledger = Ledger(books.engine, livemode="any", accounts=frozenset())
    return UserLinks(engine=books.engine, ledger=ledger, realm=realm, actor="cli:a", reason=reason)


def test_a_known_customer_is_linked_to_its_user(books: SeededDatabase) -> None:
    books.tell("renewal")
    ((customer, _),) = customers(books)

    result = links_of(books).make(mapped((customer, "usr_mapped"), ("cus_unheard", "usr_2")))

    assert (result.made, result.earlier) == (1, 0)
    assert [row.line for row in result.unknown] == [3]
    assert customers(books) == [(customer, "usr_mapped")]


@pytest.mark.parametrize("reason", ["moved in", "another reason"])
def test_the_same_file_makes_nothing_twice(books: SeededDatabase, reason: str) -> None:
    books.tell("renewal")
    rows = mapped((customers(books)[0][0], "usr_mapped"))
    links_of(books).make(rows)

    again = links_of(books, reason=reason).make(rows)

    assert (again.made, again.earlier) == (0, 1)


def test_a_link_that_a_person_ended_is_not_made_again_for_the_same_reason(
    books: SeededDatabase,
) -> None:
    books.tell("renewal")
    rows = mapped((customers(books)[0][0], "usr_mapped"))
    links_of(books).make(rows)
    end_links(books)

    links_of(books).make(rows)

    assert [user for _, user in customers(books)] == ["usr_1"]


def test_a_customer_of_another_mode_is_unknown(books: SeededDatabase) -> None:
    books.tell("renewal")
    rows = mapped((customers(books)[0][0], "usr_mapped"))

    assert links_of(books, LIVE).make(rows).unknown == [*rows]


def test_a_customer_whom_a_person_linked_to_another_user_is_a_mistake(
    books: SeededDatabase,
) -> None:
    books.tell("renewal")
    customer, _ = customers(books)[0]
    links_of(books).make(mapped((customer, "usr_mapped")))

    with books.engine.connect() as connection:
        (found,) = contradictions(connection, [TEST, LIVE], mapped((customer, "usr_other")))
        same = [*contradictions(connection, [TEST], mapped((customer, "usr_mapped")))]

    assert found.startswith(f"line 2: {customer} is linked to usr_mapped in test")
    assert same == []


def end_links(books: SeededDatabase) -> None:
    """End every link, as a person would."""
    links = LinkOperations(Ledger(books.engine, livemode="any", accounts=frozenset()), realms=())
    with books.engine.connect() as connection:
        found, _ = list_links(connection, user=None, target=None, ended=False, limit=10)
    ledger = Ledger(books.engine, livemode="any", accounts=frozenset())
    for each in found:
        request = EndRequest(id=each.link, actor="cli:a", reason="wrong")
        ledger.transact(partial(links.end, request=request, key=None))
