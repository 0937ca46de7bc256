"""Observations that go into archives, and by what an event finds them there."""

from billing.archiving.archive import Archived, archive
from billing.facts import Fact
from billing.ids import ObjectKey
from billing.projection.party import PartyFacts
from tests.billing.fact_builders import CATALOGUE, DAY, at, intent, invoice, item, subscription

OTHERS = "test:sub_1 observations"
IN_1 = ObjectKey("test:in_1")


def archived(*facts: Fact) -> Archived | None:
    """Return what of a party goes into archives."""
    party, now = PartyFacts(facts), at(400 * DAY)
    return archive(party, party.project(CATALOGUE, now), CATALOGUE, now)


def counted(first: int, end: int, latest: str | None, stripe_id: str = "sub_1") -> list[Fact]:
    """Return updates by an application that counts them, all with one latest invoice."""
    return [
        subscription(
            "active",
            number,
            item(quantity=1 + number // 10),
            stated={
                "metadata": (("change", str(number)), ("user_id", "usr_1")),
                "latest_invoice": latest,
            },
            stripe_id=stripe_id,
        )
        for number in range(first, end)
    ]


def left(facts: list[Fact], found: Archived | None) -> list[Fact]:
    """Return what stays loaded."""
    gone = {fact for each in found.archives for fact in each.facts} if found else set()
    return [fact for fact in facts if (fact.event_id, fact.object_key) not in gone]


def reached(found: Archived | None) -> dict[str, tuple[int, tuple[ObjectKey, ...]]]:
    """Return how many facts each archive has, and the objects that it is found by."""
    archives = found.archives if found else ()
    return {each.name: (len(each.facts), each.keys) for each in archives}


def test_updates_that_name_a_loaded_invoice_go_and_no_event_about_it_finds_them() -> None:
    facts = [*counted(0, 100, "in_1"), invoice(), intent()]

    found = archived(*facts)

    assert reached(found) == {OTHERS: (96, ())}
    assert left(facts, found) == [*(facts[n] for n in (0, 90, 98, 99)), *facts[100:]]


def test_the_last_update_that_names_a_loaded_invoice_stays_loaded() -> None:
    updates = [*counted(0, 4, None), *counted(4, 40, "in_1"), *counted(40, 100, "in_2")]

    found = archived(*updates, invoice())

    assert reached(found) == {OTHERS: (95, ())}
    assert left(updates, found) == [updates[n] for n in (0, 39, 90, 98, 99)]


def test_updates_are_found_by_their_invoice_if_no_loaded_one_names_it() -> None:
    facts = [*counted(0, 4, "in_0"), *counted(4, 40, "in_1"), *counted(40, 100, "in_2")]

    found = archived(*facts)

    assert found
    assert reached(found) == {OTHERS: (60, ()), IN_1: (36, (IN_1,))}
    assert [each.special_keys for each in found.archives if each.name == IN_1] == [
        ("test:reference in_1",)
    ]
    assert left(facts, found) == [facts[n] for n in (0, 90, 98, 99)]


def test_updates_that_name_no_invoice_are_found_by_none() -> None:
    assert reached(archived(*counted(0, 100, None))) == {OTHERS: (96, ())}


def test_an_observation_speaks_for_those_of_its_own_subscription_alone() -> None:
    named = [(0, 4, "in_0"), (4, 40, "in_1"), (40, 100, "in_2")]
    facts = [fact for each in named for fact in counted(*each, "sub_2")]

    found = archived(*counted(0, 100, "in_1"), *facts)

    others = "test:sub_2 observations"
    assert reached(found) == {OTHERS: (96, ()), IN_1: (36, (IN_1,)), others: (60, ())}
