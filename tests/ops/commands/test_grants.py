"""``paidup grants``: access by hand, with a preview, a reason and a way to repeat a call safely."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.delivery_builders import contents

pytestmark = pytest.mark.servers

GIVEN = "SELECT user_id, plan_code, active FROM user_entitlements WHERE source LIKE 'grant_%'"
FILE = ("--plan", "premium", "--for", "1d")
WHY = ("--reason", "the outage in May", "--as", "ada")


@pytest.fixture
def books(books: SeededDatabase, deployed: Callable[..., None]) -> SeededDatabase:
    """One user who has paid."""
    deployed(DATABASE_URL=books.url)
    books.tell("onetime", user="usr_1")
    return books


def rows(books: SeededDatabase, query: str) -> list[Any]:
    with books.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def given(paidup: Paidup, *arguments: str, code: int = 0) -> Any:
    return json.loads(paidup("grants", "add", *arguments, *WHY, "--json", code=code))


def test_a_plan_is_given_for_a_time_and_the_answer_shows_the_instant(
    books: SeededDatabase, paidup: Paidup
) -> None:
    said = paidup("grants", "add", "usr_1", "--plan", "premium", "--until", "2999-12-31", *WHY)

    assert "until 3000-01-01 00:00:00Z" in said
    assert "max_devices: 5, until 3000-01-01 00:00:00Z" in said
    query = (
        "SELECT user_id, plan_code FROM user_entitlements WHERE source LIKE 'grant_%' AND active"
    )
    assert rows(books, query) == [("usr_1", "premium")]


def test_a_dry_run_shows_what_the_user_may_do_then_and_records_nothing(
    books: SeededDatabase, paidup: Paidup
) -> None:
    before = contents(books.engine)

    would = given(
        paidup, "usr_1", "--plan", "premium", "--for", "4mo", "--from", "2999-01-01", "--dry-run"
    )

    assert would["dry_run"]
    assert would["then"] == "2999-01-01T00:00:00+00:00"
    assert would["after"]["max_devices"] == {"value": 5, "until": "2999-05-01T00:00:00+00:00"}
    assert "max_devices" not in would["before"]
    assert contents(books.engine) == before


def test_a_user_never_seen_needs_a_flag(books: SeededDatabase, paidup: Paidup) -> None:
    paidup("grants", "add", "usr_typo", "--plan", "premium", "--forever", *WHY, code=1)
    assert "nothing has named the user 'usr_typo' yet" in paidup.err

    paidup("grants", "add", "usr_typo", "--plan", "premium", "--forever", "--new-user", *WHY)

    assert rows(books, "SELECT user_id FROM operator_statements") == [("usr_typo",)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--plan", "gold", "--forever"), "there is no plan 'gold'; plans: "),
        (("--feature", "beta", "--forever"), "no plan has a feature 'beta'"),
        (("--feature", "max_devices=true", "--forever"), "is a number in the plans"),
        (("--plan", "premium"), "one of --for, --until and --forever"),
        (("--plan", "premium", "--until", "2020-01-01"), "is not after its start or now"),
        (("--forever",), "either a plan or features"),
        (
            ("--plan", "premium", "--feature", "max_devices=2", "--forever"),
            "either a plan or features",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_reason(
    books: SeededDatabase, paidup: Paidup, arguments: tuple[str, ...], says: str
) -> None:
    paidup("grants", "add", "usr_1", *arguments, *WHY, code=1)

    assert says in paidup.err
    assert rows(books, "SELECT id FROM operator_statements") == []


def test_a_reason_is_required(books: SeededDatabase, paidup: Paidup) -> None:
    paidup("grants", "add", "usr_1", "--plan", "premium", "--forever", code=2)

    assert "--reason is missing" in paidup.err
    assert rows(books, "SELECT id FROM operator_statements") == []


def test_the_same_key_gives_the_same_grant(books: SeededDatabase, paidup: Paidup) -> None:
    call = ("usr_1", "--plan", "premium", "--for", "30d", "--idempotency-key", "ticket-42")

    first, again = given(paidup, *call), given(paidup, *call)

    assert (first.pop("repeated"), again.pop("repeated")) == (False, True)
    assert first == again
    assert rows(books, "SELECT subject FROM operator_statements") == [(first["grant"],)]
    paidup("grants", "add", "usr_1", "--plan", "team", "--for", "30d",
           "--idempotency-key", "ticket-42", *WHY, code=1)  # fmt: skip
    assert "stands for another request" in paidup.err


def test_features_are_given_without_a_plan(books: SeededDatabase, paidup: Paidup) -> None:
    given(
        paidup,
        "usr_1",
        "--feature",
        "max_devices=99",
        "--feature",
        "beta",
        "--new-feature",
        "--forever",
    )

    query = (
        "SELECT feature, value FROM effective_entitlements WHERE feature IN ('beta', 'max_devices')"
    )
    assert rows(books, f"{query} ORDER BY 1") == [("beta", True), ("max_devices", 99)]


def test_grants_are_listed_with_who_and_why_what_ends_first_first(
    books: SeededDatabase, paidup: Paidup
) -> None:
    late = given(paidup, "usr_1", "--plan", "premium", "--for", "30d")["grant"]
    soon = given(paidup, "usr_1", "--plan", "premium", "--for", "3d")["grant"]
    over = given(paidup, "usr_1", "--plan", "premium", "--forever")["grant"]
    paidup("grants", "end", over, *WHY)

    def listed(*options: str) -> list[str]:
        document = json.loads(paidup("grants", "list", *options, "--json"))
        assert document["total"] == len(document["grants"])
        return [each["grant"] for each in document["grants"]]

    assert listed() == [soon, late]
    assert listed("--ending", "7d") == [soon]
    assert listed("--user", "usr_1", "--all") == [soon, late, over]
    assert "the outage in May" in paidup("grants", "list")


def test_an_ended_grant_gives_nothing_and_names_who_ended_it(
    books: SeededDatabase, paidup: Paidup
) -> None:
    grant = given(paidup, "usr_1", "--plan", "premium", "--forever")["grant"]

    said = paidup("grants", "end", grant, "--reason", "given by mistake", "--as", "bob")

    assert f"ended {grant}" in said
    assert rows(books, "SELECT active FROM user_entitlements WHERE source LIKE 'grant_%'") == [
        (False,)
    ]
    paidup("grants", "end", grant, *WHY, code=1)
    assert "cli:bob ended" in paidup.err
    paidup("grants", "end", "grant_none", *WHY, code=1)
    assert "there is no grant grant_none" in paidup.err


def test_explain_names_the_person_and_the_reason(books: SeededDatabase, paidup: Paidup) -> None:
    grant = given(paidup, "usr_1", "--plan", "premium", "--for", "30d")["grant"]

    said = paidup("explain", "usr_1", "max_devices")

    assert f"grant {grant}, plan premium" in said
    assert "cli:ada gave this: the outage in May" in said
    assert "no payment on record" not in said
    past = paidup("explain", "usr_1", "max_devices", "--at", "0s")
    assert "cli:ada" in past
    assert "the outage in May" in past


CSV = """user,plan,for,until,reason
usr_1,premium,30d,,for testing
usr_2,team,,2999-12-31,
usr_3,,,,
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "grants.csv"
    path.write_text(CSV)
    return path


def test_a_file_is_checked_whole_before_the_first_grant(
    books: SeededDatabase, paidup: Paidup, file: Path
) -> None:
    paidup(
        "grants",
        "add",
        "--file",
        str(file),
        "--plan",
        "premium",
        "--for",
        "1d",
        *WHY,
        "--yes",
        code=1,
    )

    assert "nothing was granted" in paidup.err
    assert "line 3: nothing has named the user 'usr_2' yet" in paidup.err
    assert rows(books, "SELECT id FROM operator_statements") == []


def test_a_file_that_is_run_again_makes_nothing_twice(
    books: SeededDatabase, paidup: Paidup, file: Path
) -> None:
    call = ("grants", "add", "--file", str(file), *FILE, "--new-user")

    preview = json.loads(paidup(*call, *WHY, "--dry-run", "--json"))
    assert [each["plan_code"] for each in preview["would_grant"]] == ["premium", "team", "premium"]
    assert rows(books, "SELECT id FROM operator_statements") == []
    assert "may use then" in paidup(*call, *WHY, "--yes")
    assert "0 grants made; 3 were made before" in paidup(*call, *WHY, "--yes")

    query = "SELECT user_id, reason FROM operator_statements ORDER BY user_id"
    assert rows(books, query) == [
        ("usr_1", "for testing"), ("usr_2", "the outage in May"), ("usr_3", "the outage in May"),
    ]  # fmt: skip


def test_without_a_terminal_a_file_needs_yes(
    books: SeededDatabase, paidup: Paidup, file: Path
) -> None:
    paidup(
        "grants",
        "add",
        "--file",
        str(file),
        "--plan",
        "premium",
        "--for",
        "1d",
        "--new-user",
        *WHY,
        code=1,
    )

    assert "add --yes" in paidup.err
    assert rows(books, "SELECT id FROM operator_statements") == []


def test_dates_are_of_the_zone_of_the_deployment(
    books: SeededDatabase, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAIDUP_TIME_ZONE", "Europe/Berlin")
    day = (datetime.now(UTC) + timedelta(days=400)).date()
    made = given(paidup, "usr_1", "--plan", "premium", "--until", day.isoformat())

    assert datetime.fromisoformat(made["until"]).hour in {22, 23}
