import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psycopg
import pytest

from billing.envelope import parse
from runtime.changes.numbering import number_batch
from runtime.data_loss.settlements import replace_epoch
from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase
from tests.pgbouncer import PgBouncer
from tests.runtime.changes.change_builders import changed
from tests.runtime.ledger.delivery_builders import NOW, customer, event, intent

pytestmark = pytest.mark.servers


def paid_without_user(books: SeededDatabase) -> None:
    """Record a payment of a customer whose user no event names."""
    paid = intent("pi_9", customer="cus_9", receipt_email="ada@example.com")
    books.settle([parse(event("payment_intent.succeeded", paid, id="evt_9"))])


PAIDUP = Path(sys.executable).parent / "paidup"


@pytest.fixture(autouse=True)
def _deployed(books: SeededDatabase, deployed: Callable[..., None]) -> None:
    deployed(DATABASE_URL=books.url)


def listed(paidup: Paidup, *arguments: str) -> tuple[list[int], int, bool]:
    """Return the cursors shown, the cursor to continue from, and whether there are more."""
    page = json.loads(paidup("changes", *arguments, "--json"))
    return [change["cursor"] for change in page["changes"]], page["cursor"], page["more"]


def test_the_newest_are_listed_in_order_and_pages_follow_each_other(
    books: SeededDatabase, paidup: Paidup
) -> None:
    changed(books.engine, *["usr_1"] * 5)
    number_batch(books.engine)

    assert listed(paidup, "--limit", "2") == ([4, 5], 5, False)
    assert listed(paidup, "--after", "0", "--limit", "3") == ([1, 2, 3], 3, True)
    assert listed(paidup, "--after", "3", "--limit", "3") == ([4, 5], 5, False)
    assert listed(paidup, "--after", "5") == ([], 5, False)


def test_a_change_says_what_it_was_and_why(books: SeededDatabase, paidup: Paidup) -> None:
    books.tell("onetime")
    number_batch(books.engine)
    found = json.loads(paidup("changes", "--json"))["changes"][0]

    assert [found[name] for name in ("user_id", "change")] == ["usr_1", "granted"]
    assert found["plan_code"] == "lifetime"
    assert found["before"] is None
    page = json.loads(paidup("changes", "--json"))
    assert found["version"] >= 1
    assert found["epoch"] == page["epoch"] != ""
    assert found["after"]["active"] is True
    assert found["source"] == found["after"]["source"]
    shown = paidup("changes")
    assert all(word in shown for word in ("usr_1", "granted", "lifetime", found["event_id"]))


def test_one_user_s_are_listed_apart(books: SeededDatabase, paidup: Paidup) -> None:
    books.tell("onetime", user="usr_1", seed="a")
    books.tell("onetime", user="usr_2", seed="b")
    number_batch(books.engine)

    mine = json.loads(paidup("changes", "--user", "usr_2", "--json"))["changes"]

    assert {change["user_id"] for change in mine} == {"usr_2"}
    assert "no event names 'usr_3'" in paidup("changes", "--user", "usr_3")
    assert json.loads(paidup("changes", "--user", "usr_3", "--json"))["known"] is False


@pytest.mark.parametrize("asked", ["cus_9", "pi_9", "ada@example.com"])
def test_of_a_customer_without_a_user_it_says_what_waits(
    books: SeededDatabase, paidup: Paidup, asked: str
) -> None:
    books.tell("onetime")
    number_batch(books.engine)
    paid_without_user(books)

    page = json.loads(paidup("changes", "--user", asked, "--json"))
    said = paidup("changes", "--user", asked, "--after", "0")

    assert (page["changes"], page["known"], page["cursor"]) == ([], True, 1)
    assert "Payment pi_9 of 29.99 USD waits for a user (evt_9)." in page["waiting"]
    assert said.startswith(f"no event names a user of {asked} yet: set metadata.user_id")
    assert "Payment pi_9 of 29.99 USD waits for a user (evt_9)." in said
    assert json.loads(paidup("changes", "--user", "usr_1", "--json"))["waiting"] == []


def _said(paidup: Paidup, *arguments: str) -> str:
    paidup("changes", *arguments, code=1)
    return paidup.err


def test_a_cursor_of_another_past_is_refused_with_what_to_do(
    books: SeededDatabase, paidup: Paidup
) -> None:
    changed(books.engine, "usr_1")
    number_batch(books.engine)

    assert "continue after 1" in _said(paidup, "--after", "2")


def test_what_has_no_cursor_yet_is_not_shown(books: SeededDatabase, paidup: Paidup) -> None:
    changed(books.engine, "usr_1")

    assert paidup("changes") == "no change after this cursor\n"


@contextmanager
def following(
    *arguments: str, stderr: int | None = None
) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    process = subprocess.Popen(
        [PAIDUP, "changes", "--follow", *arguments],
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout
    finally:
        process.kill()
        process.communicate()


def test_following_shows_each_change_as_it_comes_until_it_is_interrupted(
    books: SeededDatabase,
) -> None:
    changed(books.engine, "usr_1", "usr_2")
    number_batch(books.engine)

    with following("--json", "--after", "1") as (process, lines):
        first: Any = json.loads(lines.readline())
        changed(books.engine, "usr_3")
        number_batch(books.engine)
        second: Any = json.loads(lines.readline())
        process.send_signal(signal.SIGINT)
        code = process.wait(20)

    assert [(each["cursor"], each["user_id"]) for each in (first, second)] == [
        (2, "usr_2"),
        (3, "usr_3"),
    ]
    assert code == 0


def test_following_ends_when_the_cursor_counts_no_more(books: SeededDatabase) -> None:
    changed(books.engine, "usr_1")
    number_batch(books.engine)

    with following("--after", "0", stderr=subprocess.PIPE) as (process, lines):
        first = lines.readline()
        with books.engine.begin() as connection:
            replace_epoch(connection)
        _, said = process.communicate(timeout=60)

    assert "usr_1" in first
    assert process.returncode == 1
    assert "the database went back in time" in said
    assert "continue after 1" in said


def test_following_without_a_cursor_begins_with_the_newest(books: SeededDatabase) -> None:
    changed(books.engine, "usr_1", "usr_2", "usr_3")
    number_batch(books.engine)

    with following("--limit", "1", "--user", "usr_3") as (_, lines):
        first = lines.readline()
        changed(books.engine, "usr_1", "usr_3")
        number_batch(books.engine)
        second = lines.readline()

    assert first.startswith("3  ")
    assert second.startswith("5  ")
    assert "usr_3" in first


def test_following_a_customer_shows_its_user_s_changes_once_there_is_one(
    books: SeededDatabase,
) -> None:
    paid_without_user(books)
    changed(books.engine, "usr_1")
    number_batch(books.engine)

    with following("--json", "--after", "0", "--user", "cus_9") as (_, lines):
        changed(books.engine, "usr_2")
        number_batch(books.engine)
        linked = event("customer.updated", customer("cus_9", "usr_9"), at=NOW + 1)
        books.settle([parse(linked)])
        changed(books.engine, "usr_9")
        number_batch(books.engine)
        first: Any = json.loads(lines.readline())

    assert first["user_id"] == "usr_9"


def test_behind_a_pooler_following_looks_again_and_leaves_no_listen_behind(
    books: SeededDatabase, pooler: PgBouncer, deployed: Callable[..., None]
) -> None:
    deployed(DATABASE_URL=pooler.url_of(books.url))
    changed(books.engine, "usr_1")
    number_batch(books.engine)

    with following("--after", "0") as (_, lines):
        first = lines.readline()
        changed(books.engine, "usr_2")
        number_batch(books.engine)
        second = lines.readline()
        with psycopg.connect(pooler.url_of(books.url)) as other:
            listening = other.execute("SELECT pg_listening_channels()").fetchall()

    assert ["usr_1" in first, "usr_2" in second] == [True, True]
    assert listening == []
