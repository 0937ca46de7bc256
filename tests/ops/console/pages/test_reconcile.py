"""Comparisons with Stripe, as the console shows them."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from models.tables import StripeRun
from ops.console.pages.frame import Frame
from ops.console.pages.reconcile import reconcile_pages
from ops.reconcile.differences import (
    DifferenceClass,
    DifferenceState,
    FoundDifference,
    write_differences,
)
from tests.ops.console.pages.conftest import Pages
from tests.ops.console.pages.page_client import HOSTILE, PageClient
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers

STATEMENT: Mapping[str, Any] = {
    "realm": "live",
    "as_of": "2026-11-03T12:00:00+00:00",
    "parts": ["objects"],
    "whole": True,
    "subscriptions": 50,
    "payments": 1200,
    "sums": [],
    "events": None,
    "differ": {},
    "days": [],
    "not_compared": [],
    "agrees": True,
    "says": "Stripe and Paidup agree on 50 subscriptions.",
}
DAY = {"currency": "eur", "day": "2026-11-02", "status": "received", "ours": 900, "theirs": 1800}


def _pages(frame: Frame) -> list[Any]:
    return [reconcile_pages(frame)]


@pytest.fixture
def client(client_of: Callable[[Pages], PageClient]) -> PageClient:
    return client_of(_pages)


def a_run(
    books: SeededDatabase, statement: Mapping[str, Any] | None = STATEMENT, **given: Any
) -> int:
    """Write a run, done if it has a statement, and return its number."""
    said = {"parts": ["objects"], "user": None, "customer": None}
    values = {
        "kind": "reconcile",
        "realm": "live",
        "actor": "ada",
        "reason": "the endpoint was down",
        "said": said | given.pop("said", {}),
        "state": "done" if statement else "running",
        "rate": 5.0,
        "result": statement,
        **given,
    }
    with books.engine.begin() as connection:
        made = sa.insert(StripeRun).values(**values).returning(StripeRun.id)
        return int(connection.execute(made).scalar_one())


def differ(books: SeededDatabase, run: int, *names: str, **given: Any) -> None:
    """Write a difference of a subscription for each name."""
    values: dict[str, Any] = {
        "family": "subscription",
        "classed": DifferenceClass.GRANTED_NOT_PAID,
        "state": DifferenceState.STANDS,
        "says": "a repair takes pro of user usr_1",
        "stripe_customer_id": "cus_1",
        "user_id": "usr_1",
        **given,
    }
    with books.engine.begin() as connection:
        write_differences(connection, run, [FoundDifference(name=name, **values) for name in names])


def test_without_a_run_the_page_says_how_to_make_one(client: PageClient) -> None:
    page = client.get("/reconcile")

    assert "Nothing was compared with Stripe yet." in page.text
    assert not page.main.all("table")


def test_the_newest_statement_of_all_objects_comes_first(
    client: PageClient, books: SeededDatabase
) -> None:
    whole = a_run(books)
    a_run(books, {**STATEMENT, "whole": False, "says": "One agrees."}, said={"customer": "cus_1"})
    a_run(books, None)

    page = client.get("/reconcile")

    assert page.main.links()["Newest statement of agreement"] == f"/reconcile/{whole}"
    assert [row[1] for row in page.main.rows()] == ["running", "agrees", "agrees"]
    assert [row[2] for row in page.main.rows()][1] == "objects of customer cus_1"


def test_runs_come_in_pages(client: PageClient, books: SeededDatabase) -> None:
    runs = [a_run(books) for _ in range(60)]

    page = client.get("/reconcile")
    found = [row[0] for row in page.main.rows()]
    found += [row[0] for row in client.get(page.main.links()["Older"]).main.rows()]

    assert found == [f"live {run}" for run in reversed(runs)]


def test_a_run_shows_what_differs_with_links_to_whom_it_concerns(
    client: PageClient, books: SeededDatabase
) -> None:
    differing = {
        **STATEMENT,
        "agrees": False,
        "days": [DAY],
        "not_compared": ["disputes: the key lacks the right dispute_read"],
        "says": "1 differ.",
    }
    run = a_run(books, differing)
    differ(books, run, "sub_1")

    page = client.get(f"/reconcile/{run}")

    assert "dispute_read" in page.text
    assert "the endpoint was down" in page.text
    assert ["2026-11-02", "received", "9.00 EUR", "18.00 EUR"] in page.main.rows()
    assert page.main.rows()[-1][:4] == ["sub_1", "granted and not paid", "stands", "usr_1"]
    assert "sub_1" in page.main.links()


def test_differences_are_chosen_by_class(client: PageClient, books: SeededDatabase) -> None:
    run = a_run(books)
    differ(books, run, "sub_1", "sub_2")
    differ(books, run, "pi_1", classed=DifferenceClass.AMOUNTS, state=DifferenceState.REPAIRED)

    page = client.get(f"/reconcile/{run}")
    url = page.main.links()["With other amounts: 1 repaired"]
    chosen = client.get(url.partition("#")[0])

    assert [row[0] for row in page.main.rows()] == ["sub_1", "sub_2", "pi_1"]
    assert [row[0] for row in chosen.main.rows()] == ["pi_1"]


def test_many_differences_are_counted_and_the_command_is_named(
    client: PageClient, books: SeededDatabase
) -> None:
    run = a_run(books)
    differ(books, run, *(f"sub_{number}" for number in range(205)))

    page = client.get(f"/reconcile/{run}")

    assert len(page.main.rows()) == 200
    assert f"And 5 more: paidup reconcile show {run} lists them all." in page.text


def test_a_run_under_way_has_no_statement_yet(client: PageClient, books: SeededDatabase) -> None:
    page = client.get(f"/reconcile/{a_run(books, None)}")

    assert "No difference is known yet." in page.text


@pytest.mark.parametrize("path", ["/reconcile/9", f"/reconcile/{10**30}"])
def test_a_run_that_does_not_exist_is_404(client: PageClient, path: str) -> None:
    assert client.get(path).status == 404


def test_a_backfill_is_no_comparison(client: PageClient, books: SeededDatabase) -> None:
    backfill = a_run(books, kind="backfill")

    assert client.get(f"/reconcile/{backfill}").status == 404
    assert not client.get("/reconcile").main.all("table")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_words_are_shown_as_they_are(
    client: PageClient, books: SeededDatabase, hostile: str
) -> None:
    run = a_run(books, reason=hostile)
    differ(books, run, "sub_1", says=hostile, user_id=hostile)

    assert hostile in client.get(f"/reconcile/{run}").text
    query: dict[str, Any] = {"before": hostile, "class": hostile}
    assert client.get("/reconcile", **query).status == 200
    assert client.get(f"/reconcile/{run}", **query).status == 200
