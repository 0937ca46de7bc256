"""``paidup export``: everything that someone who leaves takes along."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from ops.export.tables import EXPORTS
from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers

TABLES = {
    "features": "effective_entitlements",
    "entitlements": "user_entitlements",
    "payments": "payments",
    "movements": "payment_events",
    "audit": "audit_logs",
}


@pytest.fixture
def books(books: SeededDatabase, deployed: Callable[..., None]) -> SeededDatabase:
    """Two users with payments, one of whom got money back."""
    deployed(DATABASE_URL=books.url)
    books.tell("onetime", user="usr_1")
    books.tell("renewal", user="usr_2", seed="r")
    books.tell("refund_partial", user="usr_3", seed="f")
    return books


def stored(books: SeededDatabase, query: str) -> list[Any]:
    with books.engine.connect() as connection:
        return list(connection.execute(text(query)).mappings())


def exported(paidup: Paidup, name: str) -> list[dict[str, Any]]:
    said = paidup("export", name, "--format", "jsonl")
    return [json.loads(line) for line in said.splitlines()]


@pytest.mark.parametrize("name", EXPORTS)
def test_both_formats_have_every_row_of_the_table(
    name: str, books: SeededDatabase, paidup: Paidup, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"

    paidup("export", name, "--to", str(path))
    rows = exported(paidup, name)

    with path.open(newline="") as file:
        cells = list(csv.DictReader(file, strict=True))
    (counted,) = stored(books, f"SELECT count(*) FROM {TABLES[name]}")  # noqa: S608
    assert len(rows) == len(cells) == counted["count"] > 0
    assert [*rows[0]] == [*cells[0]] == [*EXPORTS[name].columns]
    assert f"{len(rows)} " in paidup.err
    assert "exported, as of 20" in paidup.err
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_entry_of_the_audit_is_written_whole(books: SeededDatabase, paidup: Paidup) -> None:
    found = exported(paidup, "audit")

    assert found == [
        {**row, "occurred_at": row["occurred_at"].isoformat()}
        for row in stored(books, "SELECT * FROM audit_logs ORDER BY id")
    ]


def test_a_grant_says_its_features_and_whether_it_is_in_force(
    books: SeededDatabase, paidup: Paidup
) -> None:
    with books.engine.begin() as connection:
        connection.execute(
            text("UPDATE user_entitlements SET expires_at = now() WHERE user_id = 'usr_2'")
        )

    found = {each["user_id"]: each for each in exported(paidup, "entitlements")}

    mine = next(iter(stored(books, "SELECT * FROM user_entitlements WHERE user_id = 'usr_1'")))
    assert found["usr_1"]["features"] == mine["entitlements"]
    assert (found["usr_1"]["active"], found["usr_1"]["in_force"]) == (True, True)
    assert (found["usr_2"]["active"], found["usr_2"]["in_force"]) == (True, False)


def test_amounts_are_whole_numbers_of_the_smallest_unit(
    books: SeededDatabase, paidup: Paidup
) -> None:
    with books.engine.begin() as connection:
        connection.execute(
            text("UPDATE payments SET currency = 'jpy', amount_minor = 500 WHERE user_id='usr_1'")
        )

    found = {each["user_id"]: each for each in exported(paidup, "payments")}

    assert (found["usr_1"]["amount_minor"], found["usr_1"]["decimals"]) == (500, 0)
    assert found["usr_2"]["decimals"] == 2
    movements = exported(paidup, "movements")
    left = sum(each["amount_minor"] for each in movements if each["user_id"] == "usr_3")
    assert left == found["usr_3"]["amount_minor"] - found["usr_3"]["amount_refunded_minor"]
