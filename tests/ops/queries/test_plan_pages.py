from datetime import timedelta

import pytest
from sqlalchemy import text

from ops.queries import plan_pages
from ops.queries.pages import PageRequest
from ops.queries.plan_pages import (
    catalogue_page,
    count_holders,
    holder_page,
    load_catalogue,
    plans_in_force,
)
from runtime.ledger.catalogues import current_catalogue, install
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers


def test_plans_are_shown_with_those_who_hold_them_now(books: SeededDatabase) -> None:
    for user in ("usr_1", "usr_2"):
        books.tell("onetime", user=user, seed=user)
    books.tell("refund_full", user="usr_3")
    with books.engine.begin() as connection:
        ended = text("UPDATE user_entitlements SET expires_at = :at WHERE user_id = 'usr_2'")
        connection.execute(ended, {"at": books.now - timedelta(days=1)})
    with books.engine.connect() as connection:
        shown = plans_in_force(connection)
        held = [
            (each.user_id, each.plan_code)
            for plan in (shown.plans if shown else ())
            for each in holder_page(connection, plan.plan.code, PageRequest()).rows
        ]

    assert shown is not None
    assert {user for user, _ in held} == {"usr_1"}
    assert {each.plan.code: each.holders for each in shown.plans if each.holders} == {
        plan: 1 for _, plan in held
    }


def test_holders_are_counted_once_and_up_to_a_cap(
    books: SeededDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user, seed in (("usr_1", "a"), ("usr_1", "b"), ("usr_2", "c"), ("usr_3", "d")):
        books.tell("onetime", user=user, seed=seed)
    with books.engine.connect() as connection:
        (plan,) = set(connection.scalars(text("SELECT plan_code FROM user_entitlements")))

        assert count_holders(connection, plan) == 3
        monkeypatch.setattr(plan_pages, "COUNTED_HOLDERS", 1)
        assert count_holders(connection, plan) == 2


def test_versions_of_the_catalogue_are_listed_newest_first(books: SeededDatabase) -> None:
    with books.engine.begin() as connection:
        first = current_catalogue(connection).catalogue
        install(connection, first, actor="cli:ada", reason="again")
    with books.engine.connect() as connection:
        page = catalogue_page(connection, PageRequest(limit=1))
        rest = catalogue_page(connection, PageRequest(after=page.after))

        assert [each.version for each in (*page.rows, *rest.rows)] == [2, 1]
        assert page.rows[0].applied_by == "cli:ada"
        assert load_catalogue(connection, 1) == first
        assert load_catalogue(connection, 3) is None
        shown = plans_in_force(connection)
        assert shown is not None
        assert shown.version == page.rows[0]
