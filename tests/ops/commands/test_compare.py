"""``paidup compare``: what Paidup would grant beside what an application grants."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers

CLASSES = {
    *("same", "ours more", "ours less", "ours only", "theirs only", "unlike", "unknown user"),
    "changed within the hour",
}
LONG_AGO = (
    "ALTER TABLE audit_logs DISABLE TRIGGER append_only",
    "UPDATE audit_logs SET occurred_at = now() - interval '2 hours'",
)


@pytest.fixture
def books(books: SeededDatabase, deployed: Callable[..., None]) -> SeededDatabase:
    """Two users whose access changed hours ago."""
    deployed(DATABASE_URL=books.url, PAIDUP_APPLICATION_DATABASE_URL=books.url)
    books.tell("onetime", user="usr_1")
    books.tell("first_paid", user="usr_2", seed="r")
    execute(books, *LONG_AGO)
    return books


def execute(books: SeededDatabase, *statements: str) -> None:
    with books.engine.begin() as connection:
        for each in statements:
            connection.execute(text(each))


@pytest.fixture
def listed(paidup: Paidup, tmp_path: Path) -> Callable[..., Any]:
    """Compare a list of lines, and return the document."""

    def compare(*lines: str, code: int, arguments: tuple[str, ...] = ()) -> Any:
        path = tmp_path / "current.csv"
        path.write_text("\n".join(["user_id,feature,value", *lines, ""]))
        said = paidup("compare", "--current", str(path), *arguments, "--json", code=code)
        return json.loads(said)

    return compare


def ours(books: SeededDatabase, user: str) -> dict[str, Any]:
    query = text("SELECT feature, value FROM effective_entitlements WHERE user_id = :user")
    with books.engine.connect() as connection:
        return {feature: value for feature, value in connection.execute(query, {"user": user})}  # noqa: C416 - rows


def lines_of(books: SeededDatabase, *users: str) -> list[str]:
    return [
        f"{user},{feature},{json.dumps(value)}"
        for user in users
        for feature, value in ours(books, user).items()
    ]


def found(document: Any) -> dict[tuple[str, str], tuple[str, str]]:
    return {
        (each["user_id"], each["feature"]): (each["access_class"], " ".join(each["because"]))
        for each in document["differences"]
    }


def test_what_is_exported_is_the_same_as_what_is_there(
    books: SeededDatabase, paidup: Paidup, tmp_path: Path
) -> None:
    books.tell("onetime", user="+49301234", seed="p")
    for form in ("csv", "jsonl"):
        path = tmp_path / form
        paidup("export", "features", "--format", form, "--to", str(path))

        document = json.loads(paidup("compare", "--current", str(path), "--json"))

        assert document["agrees"]
        assert document["counts"].keys() == CLASSES
        assert document["counts"]["same"] == sum(document["counts"].values()) > 2
        assert (document["users"], document["differences"]) == (3, [])


def test_each_difference_has_its_class_and_its_reason(
    books: SeededDatabase, listed: Callable[..., Any]
) -> None:
    execute(
        books,
        'UPDATE user_entitlements SET entitlements = \'{"max_devices": 5, "pro": true}\'',
        "UPDATE user_entitlements SET active = false, because = 'It was refunded.'"
        " WHERE user_id = 'usr_2'",
    )

    document = listed(
        *("usr_1,max_devices,6", "usr_1,backups,t"),
        *("usr_2,max_devices,5", "usr_2,pro,no"),
        *("usr_nobody,pro,t", "usr_nobody,backups,f"),
        code=1,
    )

    differences = found(document)
    assert {at: klass for at, (klass, _) in differences.items()} == {
        ("usr_1", "max_devices"): "ours less",
        ("usr_1", "backups"): "theirs only",
        ("usr_1", "pro"): "ours only",
        ("usr_2", "max_devices"): "theirs only",
        ("usr_nobody", "pro"): "unknown user",
    }
    assert differences["usr_1", "max_devices"][1] == differences["usr_1", "pro"][1] != ""
    assert "No subscription, purchase or grant" in differences["usr_1", "backups"][1]
    assert differences["usr_2", "max_devices"][1] == "It was refunded."
    assert "names this user" in differences["usr_nobody", "pro"][1]
    assert document["features"]["backups"] == dict.fromkeys(CLASSES, 0) | {
        "theirs only": 1,
        "same": 1,
    }


def test_what_changed_within_the_hour_is_no_difference(
    books: SeededDatabase, listed: Callable[..., Any]
) -> None:
    books.tell("onetime", user="usr_3", seed="t")

    document = listed(*lines_of(books, "usr_1", "usr_2"), code=0)

    assert document["agrees"]
    assert document["counts"]["changed within the hour"] == len(ours(books, "usr_3"))


def test_what_a_person_or_a_backfill_changed_is_one_however_young_it_is(
    books: SeededDatabase, listed: Callable[..., Any], paidup: Paidup
) -> None:
    lines = lines_of(books, "usr_1", "usr_2")
    why = ("--reason", "the outage in May", "--as", "ada")
    paidup("grants", "add", "usr_1", "--plan", "premium", "--forever", *why)

    assert listed(*lines, code=1)["counts"]["ours only"] > 0


def test_access_that_ended_by_time_within_the_hour_is_no_difference_either(
    books: SeededDatabase, listed: Callable[..., Any]
) -> None:
    lines = lines_of(books, "usr_1", "usr_2")
    ended = "UPDATE user_entitlements SET expires_at = now() - interval '{}' WHERE user_id ='usr_2'"
    execute(books, ended.format("50 minutes"))
    assert listed(*lines, code=0)["counts"]["changed within the hour"] > 0

    execute(books, ended.format("70 minutes"))

    assert listed(*lines, code=1)["counts"]["theirs only"] > 0


def test_all_are_counted_and_the_limit_holds_for_each_class(
    books: SeededDatabase, listed: Callable[..., Any], paidup: Paidup, tmp_path: Path
) -> None:
    lines = [*lines_of(books, "usr_1", "usr_2"), *(f"usr_x{n},pro,t" for n in range(5))]

    document = listed(*lines, code=1, arguments=("--limit", "2"))

    assert document["counts"]["unknown user"] == 5
    assert [each["user_id"] for each in document["differences"]] == ["usr_x0", "usr_x1"]
    said = paidup("compare", "--current", str(tmp_path / "current.csv"), "--limit", "2", code=1)
    assert "unknown user: 5, the first 2 of them" in said
    assert ": 5 differ." in said


def test_a_list_that_contradicts_itself_is_refused_with_both_lines(
    books: SeededDatabase, listed: Callable[..., Any]
) -> None:
    said = listed("usr_1,pro,t", "usr_2,pro,t", "usr_1,pro,f", code=1)

    assert said["error"].endswith("usr_1, pro: 2 and 4")


def test_a_query_of_the_application_s_database_is_read_in_a_transaction_that_only_reads(
    books: SeededDatabase, paidup: Paidup, tmp_path: Path
) -> None:
    execute(
        books,
        "CREATE TABLE members (id bigint, plan text, pro boolean, max_devices integer)",
        "CREATE FUNCTION note() RETURNS integer LANGUAGE sql AS"
        " 'INSERT INTO members (id) VALUES (9) RETURNING 1'",
    )
    exact = "SELECT user_id, feature, value #>> '{}' AS value FROM effective_entitlements"
    paidup("compare", "--sql", f"{exact};")
    path = tmp_path / "query.sql"
    path.write_text(exact)
    paidup("compare", "--sql", f"@{path}")

    for query in (
        f"{exact}; DROP TABLE members",
        "DELETE FROM members RETURNING id AS user_id, plan AS feature, pro AS value",
        "SELECT 'usr_1' AS user_id, 'pro' AS feature, note() AS value",
        "SELECT pg_sleep(1) FROM nowhere",
    ):
        paidup("compare", "--sql", query, code=1)
        assert "nothing was compared" in paidup.err

    execute(books, "INSERT INTO members VALUES (1, 'x', true, 5), (2, NULL, NULL, NULL)")
    wide = "SELECT 'usr_1' AS user_id, pro, max_devices FROM members"
    document = json.loads(paidup("compare", "--sql", wide, "--wide", "--json", code=1))
    assert document["features"]["pro"]["theirs only"] == 1


def test_a_query_needs_a_database_and_three_columns(
    books: SeededDatabase, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    paidup("compare", "--sql", "SELECT 1 AS user_id", code=1)
    assert "the result of the query has no column 'feature'" in paidup.err
    query = "SELECT NULL AS user_id, 'pro' AS feature, true AS value"
    paidup("compare", "--sql", query, code=1)
    assert "row 1: user_id is empty" in paidup.err

    monkeypatch.delenv("PAIDUP_APPLICATION_DATABASE_URL")

    paidup("compare", "--sql", query, code=1)
    assert "PAIDUP_APPLICATION_DATABASE_URL is not set" in paidup.err


def test_one_list_is_given_and_no_other(paidup: Paidup) -> None:
    paidup("compare", code=2)
    paidup("compare", "--current", "x", "--sql", "SELECT 1", code=2)
    assert "either --current FILE or --sql QUERY" in paidup.err
