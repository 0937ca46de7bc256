import pytest

from ops.queries.pages import PageRequest
from ops.queries.user_pages import change_page, user_page
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers


def test_users_are_listed_by_their_ids(books: SeededDatabase) -> None:
    for user in ("usr_2", "usr_1", "usr_3"):
        books.tell("onetime", user=user, seed=user)
    with books.engine.connect() as connection:
        first = user_page(connection, PageRequest(limit=2))
        rest = user_page(connection, PageRequest(after=first.after, limit=2))

    assert [each.user_id for each in (*first.rows, *rest.rows)] == ["usr_1", "usr_2", "usr_3"]
    assert all(each.version > 0 for each in first.rows)


def test_the_changes_of_a_users_entitlements_come_newest_first(books: SeededDatabase) -> None:
    books.tell("refund_full", user="usr_1")
    books.tell("onetime", user="usr_2")
    with books.engine.connect() as connection:
        page = change_page(connection, "usr_1", PageRequest(limit=1))
        rest = change_page(connection, "usr_1", PageRequest(after=page.after))

    changes = [*page.rows, *rest.rows]
    assert [each.change for each in changes] == ["revoked", "granted"]
    assert {each.source for each in changes} == {changes[0].source}
    assert changes[1].after is not None
    assert changes[1].before is None


def test_a_page_before_another_leads_on_to_it(books: SeededDatabase) -> None:
    for user in ("usr_1", "usr_2", "usr_3"):
        books.tell("onetime", user=user, seed=user)
    with books.engine.connect() as connection:
        first = user_page(connection, PageRequest(limit=1))
        second = user_page(connection, PageRequest(after=first.after, limit=1))
        back = user_page(connection, PageRequest(before=second.before, limit=1))
        again = user_page(connection, PageRequest(after=back.after, limit=1))

    assert back.rows == first.rows
    assert back.before is None
    assert again.rows == second.rows
