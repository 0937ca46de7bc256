import json
from collections.abc import Callable
from typing import Any

import pytest

from billing.envelope import parse
from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase, tell_sharing
from tests.runtime.ledger.delivery_builders import event, intent

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def _deployed(books: SeededDatabase, deployed: Callable[..., None]) -> None:
    deployed(DATABASE_URL=books.url)


def listed(paidup: Paidup, *arguments: str) -> list[Any]:
    found: list[Any] = json.loads(paidup("audit", "list", *arguments, "--json"))["entries"]
    return found


def test_the_newest_come_first_and_pages_follow_each_other(
    books: SeededDatabase, paidup: Paidup
) -> None:
    books.tell("onetime")
    every = [entry["id"] for entry in listed(paidup, "--limit", "1000")]
    first = json.loads(paidup("audit", "list", "--limit", "2", "--json"))
    second = listed(paidup, "--before", str(first["before"]), "--limit", "1000")

    assert every == sorted(every, reverse=True)
    assert [entry["id"] for entry in [*first["entries"], *second]] == every
    assert f"--before {first['before']}" in paidup("audit", "list", "--limit", "2")


def test_filters_narrow_the_list_together(books: SeededDatabase, paidup: Paidup) -> None:
    books.tell("onetime", user="usr_1", seed="a")
    books.tell("onetime", user="usr_2", seed="b")
    granted = listed(paidup, "--user", "usr_2", "--action", "entitlement")[0]
    event = granted["event_id"]

    assert (granted["user_id"], granted["action"]) == ("usr_2", "entitlement.granted")
    assert granted["after"]["active"] is True
    assert granted in listed(paidup, "--event", event)
    assert {each["event_id"] for each in listed(paidup, "--event", event)} == {event}
    both = listed(
        paidup, "--user", "usr_2", "--action", "entitlement.granted", "--action", "payment"
    )
    assert {each["action"].partition(".")[0] for each in both} == {"entitlement", "payment"}
    assert listed(paidup, "--action", "entitle") == []
    assert listed(paidup, "--actor", "ada") == []
    assert granted in listed(paidup, "--since", "1h")
    assert listed(paidup, "--until", "1h") == []


def test_an_actor_is_named_with_or_without_where_they_acted(
    books: SeededDatabase, paidup: Paidup
) -> None:
    books.tell("onetime", user="usr_1")
    give = ("grants", "add", "usr_1", "--plan", "premium", "--forever", "--reason", "tests")
    paidup(*give, "--as", "ada")
    paidup(*give, "--as", "adam")

    for named in ("ada", "cli:ada"):
        assert {each["actor"] for each in listed(paidup, "--actor", named)} == {"cli:ada"}
    assert {each["actor"] for each in listed(paidup, "--actor", "stripe")} == {"stripe"}


def test_people_see_who_did_what_to_what(books: SeededDatabase, paidup: Paidup) -> None:
    books.tell("onetime")
    entry = listed(paidup, "--action", "entitlement.granted")[0]

    row = paidup("audit", "list", "--action", "entitlement.granted").splitlines()[1]

    words = (entry["actor"], "entitlement.granted", entry["target_id"], "usr_1", entry["event_id"])
    assert all(word in row for word in words)


def test_nothing_found_is_said_and_an_unknown_user_is_no_error(
    books: SeededDatabase, paidup: Paidup
) -> None:
    assert paidup("audit", "list", "--event", "evt_none") == "no entry matches\n"
    assert "no event names 'usr_none'" in paidup("audit", "list", "--user", "usr_none")
    assert "--customer" not in paidup("audit", "list", "--user", "usr_none")
    assert json.loads(paidup("audit", "list", "--user", "usr_none", "--json"))["known"] is False
    paidup("audit", "list", "--since", "1h", "--until", "2h", code=2)


@pytest.mark.parametrize("asked", ["cus_9", "pi_9"])
def test_of_a_customer_without_a_user_the_entries_of_its_events_are_listed(
    books: SeededDatabase, paidup: Paidup, asked: str
) -> None:
    books.tell("onetime")
    paid = intent("pi_9", customer="cus_9")
    books.settle([parse(event("payment_intent.succeeded", paid, id="evt_9"))])

    page = json.loads(paidup("audit", "list", "--user", asked, "--json"))

    assert page["known"] is True
    assert {entry["event_id"] for entry in page["entries"]} == {"evt_9"}
    assert "payment.received" in {entry["action"] for entry in page["entries"]}
    none = paidup("audit", "list", "--user", asked, "--action", "replay")
    assert none.startswith(f"no event names a user of {asked} yet")


def test_an_address_of_several_users_is_refused_with_their_names(
    books: SeededDatabase, paidup: Paidup
) -> None:
    tell_sharing(books, "ada@example.com", "usr_1", "usr_2")

    for command in (["audit", "list"], ["changes"]):
        paidup(*command, "--user", "ada@example.com", code=1)

        assert "has 2 users, name one of them: usr_1, usr_2" in paidup.err
