"""``paidup grants``: access by hand, with a preview, a reason and a way to repeat a call safely."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from billing.envelope import parse
from ops.samples.emails import email_of
from ops.terminal.interrupt import Interrupted
from runtime.ledger.maintenance.ending_soon import announce_ending_soon
from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.delivery_builders import checkout, contents, event

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


def guest_checkout() -> dict[str, Any]:
    """Return a paid checkout of a customer without a user."""
    guest = checkout("cs_guest", client_reference_id=None, customer="cus_guest")
    return {**guest, "customer_details": {"email": "guest@example.com"}}


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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("usr_1", "--plan", "premium"), "one of --for, --until and --forever"),
        (("usr_1", "--plan", "premium", "--for", "0d"), "'0d' is no duration: write 12h"),
        (("usr_1", "--plan", "premium", "--for=-5d"), "'-5d' is no duration: write 12h"),
        (("usr_1", "--plan", "premium", "--until", "0001-01-01"), "too far in the past"),
        (("usr_1", "--plan", "premium", "--until", "soon"), "write 2026-12-31"),
        (("usr_1", "--feature", "max_devices=-1", "--forever"), "a whole number"),
        (("usr_1", "--feature", "a", "--feature", "a=false", "--forever"), "is given twice"),
        ((" ", "--plan", "premium", "--forever", "--new-user"), "a user has 1 to 500"),
        (("", "--plan", "premium", "--forever", "--new-user"), "a user has 1 to 500"),
        (("u" * 501, "--plan", "premium", "--forever", "--new-user"), "a user has 1 to 500"),
    ],
)
def test_what_cannot_be_read_is_wrong_use(
    books: SeededDatabase, paidup: Paidup, arguments: tuple[str, ...], says: str
) -> None:
    paidup("grants", "add", *arguments, *WHY, code=2)

    assert says in " ".join(paidup.err.split())
    assert rows(books, "SELECT id FROM operator_statements") == []


def test_a_user_is_found_by_an_id_of_stripe_or_an_address(
    books: SeededDatabase, paidup: Paidup
) -> None:
    ((customer,),) = rows(books, "SELECT stripe_customer_id FROM customers")

    for named in (customer, email_of("usr_1"), " usr_1 "):
        assert given(paidup, named, "--plan", "premium", "--for", "1d")["user_id"] == "usr_1"


def test_one_who_waits_for_a_user_is_to_be_linked_and_is_no_new_user(
    books: SeededDatabase, paidup: Paidup
) -> None:
    books.settle([parse(event("checkout.session.completed", guest_checkout()))])

    for named in ("cus_guest", "guest@example.com"):
        paidup("grants", "add", named, "--plan", "premium", "--forever", *WHY, code=1)

        assert f"no event names a user of {named} yet" in paidup.err
        assert "`paidup links add cus_guest USER --reason WHY`" in paidup.err
        assert "--new-user" not in paidup.err
    paidup("grants", "add", "cus_guest", "--plan", "premium", "--forever", "--new-user", *WHY,
           code=1)  # fmt: skip
    assert "paidup links add cus_guest USER" in paidup.err
    assert rows(books, "SELECT id FROM operator_statements") == []


def test_an_unknown_id_of_stripe_or_a_name_is_no_new_user_by_mistake(
    books: SeededDatabase, paidup: Paidup
) -> None:
    named = guest_checkout()
    named["customer_details"]["name"] = "Ada Lovelace"
    books.settle([parse(event("checkout.session.completed", named))])

    paidup("grants", "add", "cus_typo", "--plan", "premium", "--forever", *WHY, code=1)
    assert "no event names 'cus_typo': compare it with Stripe's dashboard" in paidup.err
    paidup("grants", "add", "Ada Lovelace", "--plan", "premium", "--forever", *WHY, code=1)
    assert "it is a name or in the metadata of cus_guest" in paidup.err


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


def test_a_list_of_one_who_is_unknown_or_waits_says_so(
    books: SeededDatabase, paidup: Paidup
) -> None:
    assert "no event names 'usr_typo'" in paidup("grants", "list", "--user", "usr_typo")
    assert "`paidup grants list --all`" in paidup("grants", "list")
    assert "`paidup grants list --user usr_1 --all`" in paidup("grants", "list", "--user", "usr_1")
    assert paidup("grants", "list", "--all") == "no grant matches\n"
    document = json.loads(paidup("grants", "list", "--user", "usr_typo", "--json"))
    assert document == {"grants": [], "total": 0, "known": False}


@pytest.mark.parametrize("ending", ["999999y", "999999w", "0d", "soon"])
def test_a_time_of_which_grants_cannot_end_within_is_wrong_use(
    books: SeededDatabase, paidup: Paidup, ending: str
) -> None:
    paidup("grants", "list", "--ending", ending, code=2)

    assert "--ending" in paidup.err


def test_who_ends_what_is_no_grant_learns_where_to_look(
    books: SeededDatabase, paidup: Paidup
) -> None:
    paidup("grants", "end", "grant_none", *WHY, code=1)
    assert "`paidup grants list` shows them" in paidup.err

    paidup("grants", "end", "link_1", *WHY, code=1)
    assert "`paidup links end link_1 --reason WHY`" in paidup.err
    paidup("links", "end", "grant_1", *WHY, code=1)
    assert "`paidup grants end grant_1 --reason WHY`" in paidup.err


def test_the_answer_to_an_end_says_when_it_ended(books: SeededDatabase, paidup: Paidup) -> None:
    grant = given(paidup, "usr_1", "--plan", "premium", "--forever")["grant"]

    would = paidup("grants", "end", grant, *WHY, "--dry-run")
    said = paidup("grants", "end", grant, *WHY)

    assert would.startswith(f"would have ended {grant}: plan premium for usr_1\n")
    assert "Z, ended " in said
    assert "for good" not in said


def test_a_dry_run_shows_no_id_since_none_is_given(books: SeededDatabase, paidup: Paidup) -> None:
    said = paidup("grants", "add", "usr_1", "--plan", "premium", "--for", "1d", *WHY, "--dry-run")

    assert said.startswith("would have added plan premium for usr_1\n")
    assert "grant_" not in said


def test_a_statement_leads_to_its_user_and_its_audit(books: SeededDatabase, paidup: Paidup) -> None:
    made = given(paidup, "usr_1", "--plan", "premium", "--for", "30d")

    for named in (made["grant"], made["statement"]):
        assert f"This is the user of {named}." in paidup("explain", named)
        assert made["grant"] in paidup("grants", "list", "--user", named)
    paidup("events", "show", made["statement"], code=1)
    assert f"`paidup audit list --event {made['statement']}`" in paidup.err
    assert "grant.added" in paidup("audit", "list", "--event", made["statement"])


def test_a_reason_of_several_lines_stays_one_line_of_an_explanation(
    books: SeededDatabase, paidup: Paidup
) -> None:
    paidup("grants", "add", "usr_1", "--plan", "premium", "--forever", "--as", "ada",
           "--reason", "outage\n  paid by pi_1: 5.00 USD")  # fmt: skip

    for when in ((), ("--at", "0s")):
        said = paidup("explain", "usr_1", "max_devices", *when)
        assert "cli:ada gave this: outage\\n  paid by" in said
        assert not [line for line in said.splitlines() if line.strip().startswith("paid by pi_1:")]


def test_the_past_names_the_person_also_after_the_end_was_announced(
    books: SeededDatabase, paidup: Paidup
) -> None:
    given(paidup, "usr_1", "--plan", "premium", "--for", "3d")
    assert announce_ending_soon(books.engine, limit=10) == 1

    past = paidup("explain", "usr_1", "max_devices", "--at", "0s")

    assert "by cli:ada (op_" in past
    assert "(the outage in May)" in past
    assert "ends_soon" not in past
    changes = json.loads(paidup("audit", "list", "--action", "entitlement.ends_soon", "--json"))
    assert [each["user_id"] for each in changes["entries"]] == ["usr_1"]


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


def written(tmp_path: Path, text: str, name: str = "other.csv") -> str:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return str(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("user,reason\nusr_1,\n", "line 2: it gives no reason"),
        ("user,reason\nusr_1," + "x" * 501 + "\n", "line 2: a reason has 1 to 500 characters"),
        ("user,reason\n" + "u" * 501 + ",why\n", "line 2: a user has 1 to 500 characters"),
        ("user,reason\n,why\n", "line 2: it names no user"),
        ("user,reason\nusr_1,why,more\n", "line 2: more fields than columns"),
        ("user,for,reason\nusr_1,0d,why\n", "line 2: '0d' is no duration"),
        ("user,feature,reason\nusr_1,a;a=false,why\n", "line 2: the feature 'a' is given twice"),
        ("user,reason\nusr_1,why\nusr_1,why\n", "line 3: the same grant as in line 2"),
        ("user,reason,reason\nusr_1,why,why\n", "has the column 'reason' twice"),
        ("user;reason\nusr_1;why\n", "separate columns by commas"),
        ("user,wann\nusr_1,why\n", "has the column 'wann'"),
        ("user,reason\nnew@example.com,why\n", "line 2: nothing has named the user"),
        ("user,reason\ncus_typo,why\n", "line 2: no event names 'cus_typo'"),
    ],
)
def test_each_mistake_in_a_file_is_named_with_its_line(
    books: SeededDatabase, paidup: Paidup, tmp_path: Path, text: str, says: str
) -> None:
    path = written(tmp_path, text)

    paidup("grants", "add", "--file", path, *FILE, "--as", "ada", "--yes", code=1)

    assert says in paidup.err
    assert rows(books, "SELECT id FROM operator_statements") == []


def test_two_ends_for_all_rows_are_wrong_use(
    books: SeededDatabase, paidup: Paidup, file: Path
) -> None:
    two = ("--forever", "--until", "2999-12-31")

    paidup("grants", "add", "--file", str(file), "--plan", "premium", *two, *WHY, "--yes", code=2)

    assert "one of --for, --until and --forever" in paidup.err


def test_a_file_of_a_spreadsheet_is_read(
    books: SeededDatabase, paidup: Paidup, tmp_path: Path
) -> None:
    path = written(tmp_path, "\ufeffUser, Until \r\nusr_1,2999-12-31\r\n,\r\n\r\n")

    paidup("grants", "add", "--file", path, "--plan", "premium", *WHY, "--yes")

    (until,) = rows(books, "SELECT says ->> 'until' FROM operator_statements")
    assert until[0].startswith("3000-01-01")


def test_users_of_a_file_are_found_by_an_id_of_stripe_or_an_address(
    books: SeededDatabase, paidup: Paidup, tmp_path: Path
) -> None:
    ((customer,),) = rows(books, "SELECT stripe_customer_id FROM customers")
    path = written(tmp_path, f"user,for\n{customer},1d\n{email_of('usr_1')},2d\n")

    paidup("grants", "add", "--file", path, *FILE, *WHY, "--yes")

    assert rows(books, "SELECT DISTINCT user_id FROM operator_statements") == [("usr_1",)]


def test_a_second_run_previews_what_is_left_and_asks_for_that_alone(
    books: SeededDatabase, paidup: Paidup, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ("grants", "add", "--file", str(file), *FILE, "--new-user", *WHY)
    interrupted = iter([False, True])

    class AfterTheFirst:
        def pause(self, _: float) -> None:
            if next(interrupted):
                raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr("ops.statements.bulk.Interruption", AfterTheFirst)
        assert "interrupted: the same command makes the rest" in paidup(*call, "--yes", code=1)

    would = json.loads(paidup(*call, "--dry-run", "--json"))
    assert [each["user_id"] for each in would["would_grant"]] == ["usr_2", "usr_3"]
    assert would["repeated"] == 1
    said = paidup(*call, "--yes")
    assert "usr_1 " not in said
    assert "2 grants made; 1 was made before" in said
    # Nothing is left to ask for.
    assert "0 grants made; 3 were made before" in paidup(*call)


def test_the_same_file_with_other_options_is_refused_before_the_first_grant(
    books: SeededDatabase, paidup: Paidup, tmp_path: Path
) -> None:
    path = written(tmp_path, "user,for\nusr_1,1d\n")
    paidup("grants", "add", "--file", path, *FILE, *WHY, "--yes")

    paidup("grants", "add", "--file", path, "--plan", "team", *WHY, "--yes", code=1)

    assert "line 2: this file was granted before with other options" in paidup.err
    assert "--idempotency-key" in paidup.err
    again = ("--plan", "team", *WHY, "--yes", "--idempotency-key", "second")
    assert "1 grant made" in paidup("grants", "add", "--file", path, *again)


@pytest.mark.parametrize("key", ["two words", "", "k" * 241])
def test_a_key_of_which_rows_can_have_none_is_refused_first(
    books: SeededDatabase, paidup: Paidup, file: Path, key: str
) -> None:
    call = ("grants", "add", "--file", str(file), *FILE, "--new-user", *WHY, "--yes")

    paidup(*call, "--idempotency-key", key, code=2)

    assert "--idempotency-key" in paidup.err
    assert rows(books, "SELECT id FROM operator_statements") == []


def test_a_document_of_a_file_names_every_grant_and_needs_yes_since_it_shows_no_preview(
    books: SeededDatabase, paidup: Paidup, file: Path
) -> None:
    call = ("grants", "add", "--file", str(file), *FILE, "--new-user", *WHY, "--json")
    paidup(*call, code=1)
    assert "add --yes to make these grants; `" in paidup.err

    made = json.loads(paidup(*call, "--yes"))
    again = json.loads(paidup(*call, "--yes"))

    assert [(each["line"], each["user_id"]) for each in made["grants"]] == [
        (2, "usr_1"), (3, "usr_2"), (4, "usr_3"),
    ]  # fmt: skip
    ids = rows(books, "SELECT subject FROM operator_statements ORDER BY user_id")
    assert [(each["grant"],) for each in made["grants"]] == ids
    assert [each["grant"] for each in again["grants"]] == [each["grant"] for each in made["grants"]]
    assert {each["repeated"] for each in again["grants"]} == {True}
