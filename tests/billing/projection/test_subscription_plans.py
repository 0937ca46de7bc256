"""Plans of items by their names, and of items whose price is in no plan."""

from typing import Any

import pytest

from billing.catalogue import Catalogue, read_catalogue
from billing.facts import Fact, Item
from billing.rows import EntitlementRow, Projection
from tests.billing.fact_builders import (
    DAY,
    at,
    item,
    naming,
    only_grant,
    project_facts,
    subscription,
    with_fields,
)

PLANS: dict[str, Any] = {
    "premium": {"prices": ["price_premium", "gold", "prod_premium"], "features": {"premium": True}},
    "basic": {"prices": ["price_basic"], "features": {"basic": True}},
    "team": {"prices": ["price_team"], "per_seat": ["seats"], "grace_days": 7},
}


def catalogue(**parts: Any) -> Catalogue:
    return read_catalogue({"plans": PLANS, **parts})


SHOP = catalogue()
ENDING = catalogue(policy={"unknown_price": "end"})
FREE = catalogue(catalogue={"nothing": ["price_free", "free"]})


def active(seconds: float, *items: Item, **stated: Any) -> Fact:
    return subscription("active", seconds, *items, stated=stated)


def in_force(projection: Projection) -> dict[str, EntitlementRow]:
    return {row.plan_code: row for row in projection.entitlements.values() if row.active}


def plans(*facts: Fact, by: Catalogue = SHOP) -> set[str]:
    return set(in_force(project_facts(*facts, catalogue=by)))


def test_a_lookup_key_that_was_transferred_still_names_its_old_price() -> None:
    facts = [active(0, item("price_old", lookup_key="gold")), active(9, item("price_old"))]

    assert plans(*facts) == {"premium"}


def test_a_transferred_key_names_no_other_price_of_the_subscription() -> None:
    facts = [active(0, item("price_old", lookup_key="gold")), active(9, item("price_new"))]

    assert plans(*facts, by=ENDING) == set()


def test_the_newest_key_of_a_price_comes_before_its_older_ones() -> None:
    two = read_catalogue({"plans": {"premium": {"prices": ["a"]}, "basic": {"prices": ["b"]}}})
    facts = [active(0, item("p", lookup_key="a")), active(1, item("p", lookup_key="b"))]

    assert plans(*facts, active(2, item("p")), by=two) == {"basic"}


def test_a_price_in_no_plan_keeps_the_plan_that_the_item_had_and_is_named() -> None:
    projection = project_facts(
        active(0, item("price_team", 2, id="si_1")),
        active(9, item("price_x", 3, id="si_1")),
        catalogue=SHOP,
    )

    assert only_grant(projection).active
    assert only_grant(projection).entitlements == {"seats": 3}
    assert projection.unknown_prices == {"price_x"}
    assert only_grant(projection).because == (
        "Subscription sub_1 is active. In no plan: price_x; by policy it keeps what it granted"
        " before."
    )


def test_what_an_item_had_is_kept_through_several_prices_in_no_plan() -> None:
    facts = [active(n, item(f"price_{n or 'team'}", 2, id="si_1")) for n in range(4)]

    assert in_force(project_facts(*facts, catalogue=SHOP))["team"].entitlements == {"seats": 2}


def test_items_that_replace_all_others_keep_what_the_subscription_had_once() -> None:
    facts = [
        active(0, item("price_team", 2, id="si_1"), item("price_basic", id="si_2")),
        active(9, item("price_x", 5, id="si_3"), item("price_y", 5, id="si_4")),
        active(12, item("price_x", 5, id="si_3"), item("price_y", 5, id="si_4"), item("price_z")),
    ]

    for known in (2, 3):
        rows = in_force(project_facts(*facts[:known], catalogue=SHOP))
        assert rows.keys() == {"team", "basic"}
        assert rows["team"].entitlements == {"seats": 2}


@pytest.mark.parametrize(("known", "left"), [("price_basic", {"basic"}), ("price_free", set())])
def test_an_unknown_item_beside_a_known_one_is_no_replacement(known: str, left: set[str]) -> None:
    facts = [
        active(0, item("price_premium", id="si_1")),
        active(9, item(known, id="si_2"), item("price_x", id="si_3")),
    ]

    assert plans(*facts, by=FREE) == left


@pytest.mark.parametrize("usage", ["price_free", "price_usage"])
def test_an_item_that_never_granted_anything_decides_nothing_about_a_replacement(
    usage: str,
) -> None:
    facts = [
        active(0, item(usage, id="si_1"), item("price_premium", id="si_2")),
        active(9, item(usage, id="si_1"), item("price_x", id="si_3")),
    ]
    lowered = active(12, item(usage, id="si_1"), item("price_free", id="si_3"))

    assert plans(*facts, by=FREE) == {"premium"}
    assert plans(*facts, lowered, by=FREE) == set()


def test_an_unknown_item_beside_one_that_keeps_its_plan_is_no_replacement() -> None:
    facts = [
        active(0, item("price_team", 2, id="si_1")),
        active(9, item("price_x", 2, id="si_1"), item("price_y", 4, id="si_2")),
    ]

    assert in_force(project_facts(*facts, catalogue=SHOP))["team"].entitlements == {"seats": 2}


def test_an_item_that_was_for_nothing_before_stands_for_nothing() -> None:
    facts = [
        active(0, item("price_premium", id="si_1"), item("price_x", id="si_2")),
        active(9, item("price_x", id="si_2")),
    ]

    assert plans(*facts) == set()


def test_an_emptied_subscription_stands_for_nothing() -> None:
    empty = active(9, item(), items=())

    assert plans(active(0, item("price_premium")), empty) == set()


def test_of_an_item_of_quantity_0_nothing_is_sold() -> None:
    none = [item("price_team", 0, id="si_1"), item("price_x", 0, id="si_2")]
    projection = project_facts(active(9, *none), catalogue=SHOP)

    assert not projection.entitlements
    assert not projection.unknown_prices
    assert plans(active(0, item("price_team", id="si_1")), active(9, *none)) == set()


def test_an_item_that_is_set_to_0_for_a_time_keeps_what_it_was_for() -> None:
    facts = [active(n, item(f"price_{n or 'team'}", n % 2, id="si_1")) for n in (2, 3)]
    facts += [active(0, item("price_team", 1, id="si_1"))]

    assert plans(*facts) == {"team"}


def test_the_policy_may_end_what_changed_to_a_price_in_no_plan() -> None:
    facts = [active(0, item("price_team", id="si_1")), active(9, item("price_x", id="si_1"))]
    projection = project_facts(*facts, catalogue=ENDING)

    assert not only_grant(projection).active
    assert only_grant(projection).because == "Subscription sub_1 is no longer on plan team."
    assert projection.unknown_prices == {"price_x"}


def test_a_price_that_grants_nothing_on_purpose_ends_a_plan_and_is_not_named() -> None:
    facts = [active(0, item("price_premium", id="si_1")), active(9, item("price_free", id="si_1"))]
    projection = project_facts(*facts, catalogue=FREE)

    assert not only_grant(projection).active
    assert not projection.unknown_prices


def test_the_most_trusted_name_decides_between_a_plan_and_nothing() -> None:
    assert plans(active(0, item("price_free", product="prod_premium")), by=FREE) == set()
    assert plans(
        active(0, item("price_y", lookup_key="free", product="prod_premium")), by=FREE
    ) == (set())
    assert plans(active(0, item("price_premium", lookup_key="free")), by=FREE) == {"premium"}


def test_the_end_of_the_period_is_that_of_the_items_that_keep_a_plan() -> None:
    facts = [
        active(0, item("price_premium", id="si_1")),
        subscription(
            "active",
            9,
            item("price_x", id="si_2", period_end=20 * DAY),
            item("price_y", id="si_3", period_end=40 * DAY),
            at_period_end=True,
        ),
    ]

    assert only_grant(project_facts(*facts, catalogue=SHOP)).expires_at == at(40 * DAY)


def with_plan(code: str, seconds: float = 0, *items: Item) -> Fact:
    return active(seconds, *items, metadata=(("plan_code", code), *naming("usr_1")))


def test_metadata_names_the_plan_of_items_that_no_catalogue_knows() -> None:
    projection = project_facts(
        with_plan("team", 0, item("price_x", 2), item("price_y", 3)), catalogue=SHOP
    )

    assert only_grant(projection).entitlements == {"seats": 5}
    assert not projection.unknown_prices
    assert plans(with_plan("premium", 0, item())) == {"premium"}


def test_a_plan_that_metadata_names_ends_with_the_latest_period_of_all_items() -> None:
    items = (item("price_x", period_end=30 * DAY), item("price_y", period_end=40 * DAY))
    ending = with_fields(with_plan("team", 0, *items), cancel_at_period_end=True)

    assert only_grant(project_facts(ending, catalogue=SHOP)).expires_at == at(40 * DAY)


def test_metadata_names_the_plan_of_a_subscription_without_items() -> None:
    empty = active(0, item(), items=(), metadata=(("plan_code", "team"), *naming("usr_1")))

    assert only_grant(project_facts(empty, catalogue=SHOP)).entitlements == {"seats": 1}


def test_metadata_that_names_no_plan_leaves_the_prices_unsold() -> None:
    projection = project_facts(with_plan("gone", 0, item("price_x")), catalogue=SHOP)

    assert not projection.entitlements
    assert projection.unknown_prices == {"price_x"}


@pytest.mark.parametrize("seconds", [0, 20])
def test_metadata_says_nothing_once_any_snapshot_had_an_item_in_the_catalogue(
    seconds: float,
) -> None:
    facts = [with_plan("premium", 10, item("price_x")), active(seconds, item("price_basic"))]

    assert plans(*facts, by=ENDING) <= {"basic"}


def test_metadata_says_nothing_of_an_item_that_an_earlier_catalogue_knew() -> None:
    former = read_catalogue({"plans": {"old": {"prices": ["price_x"]}}})

    assert plans(with_plan("premium", 0, item("price_x")), by=SHOP.with_former([former])) == set()


def test_a_plan_that_metadata_named_under_an_earlier_catalogue_leaves_its_row() -> None:
    named = with_plan("premium", 0, item("price_x"))
    after = read_catalogue({"plans": {"basic": {"prices": ["price_x"]}}}).with_former([SHOP])
    rows = project_facts(named, catalogue=after).entitlements.values()

    assert {row.plan_code: row.active for row in rows} == {"premium": False, "basic": True}
