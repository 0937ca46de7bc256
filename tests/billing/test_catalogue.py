"""A plans document is read as a whole, or refused with all its mistakes."""

import json
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.catalogue import (
    Catalogue,
    Identity,
    Plan,
    Policy,
    PolicyAction,
    read_catalogue,
    write_catalogue,
)
from billing.errors import InvalidCatalogue
from billing.ids import PlanCode

PLANS = """
[plans.premium]
prices = ["price_premium_monthly", "price_premium_yearly"]
grace_days = 7
[plans.premium.features]
signals_enabled = true
max_devices = 5
[plans.team]
prices = ["price_team"]
per_seat = ["max_devices"]
[policy]
refund_full = "keep"
"""


def problems(document: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(InvalidCatalogue) as refused:
        read_catalogue(document)
    return refused.value.problems


def plan(**table: Any) -> dict[str, Any]:
    return {"plans": {"premium": table}}


def test_plans_are_read_as_people_write_them() -> None:
    catalogue = read_catalogue(tomllib.loads(PLANS))

    assert catalogue == Catalogue(
        plans=(
            Plan(
                code=PlanCode("premium"),
                prices=("price_premium_monthly", "price_premium_yearly"),
                grace_days=7,
                features={"signals_enabled": True, "max_devices": 5},
            ),
            Plan(
                code=PlanCode("team"),
                prices=("price_team",),
                per_seat=frozenset({"max_devices"}),
            ),
        ),
        policy=Policy(refund_full=PolicyAction.KEEP),
    )


def test_an_empty_document_is_an_empty_catalogue_with_the_default_policy() -> None:
    catalogue = read_catalogue({})

    assert catalogue.plans == ()
    assert catalogue.policy == Policy(
        refund_full=PolicyAction.END,
        refund_partial=PolicyAction.KEEP,
        dispute_open=PolicyAction.KEEP,
        dispute_lost=PolicyAction.END,
        subscription_refund_full=PolicyAction.KEEP,
        subscription_dispute_open=PolicyAction.KEEP,
        subscription_dispute_lost=PolicyAction.KEEP,
        collection_paused=PolicyAction.KEEP,
        unknown_price=PolicyAction.KEEP,
    )
    assert catalogue.nothing == frozenset()
    assert catalogue.identity == Identity(
        user_from=("metadata", "client_reference_id"), metadata_keys=("user_id",)
    )


def test_what_is_sold_for_nothing_and_where_a_user_is_read_can_be_said() -> None:
    catalogue = read_catalogue(
        {
            "plans": {"pass": {"prices": ["price_day"], "lasts_days": 1}},
            "catalogue": {"nothing": ["price_free"]},
            "identity": {"user_from": ["client_reference_id"], "metadata_keys": ["uid", "user"]},
        }
    )

    assert catalogue.plans[0].lasts_days == 1
    assert catalogue.nothing == {"price_free"}
    assert catalogue.identity == Identity(
        user_from=("client_reference_id",), metadata_keys=("uid", "user")
    )


def test_the_order_in_which_plans_are_written_does_not_matter() -> None:
    tables: dict[str, Any] = {"b": {"features": {"x": 1, "y": True}}, "a": {}}
    turned = {"a": {}, "b": {"features": {"y": True, "x": 1}}}

    assert read_catalogue({"plans": tables}) == read_catalogue({"plans": turned})


def test_seats_multiply_what_is_counted_by_the_seat_and_nothing_else() -> None:
    team = Plan(
        code=PlanCode("team"),
        features={"max_devices": 2, "projects": 10, "signals_enabled": True},
        per_seat=frozenset({"max_devices", "members"}),
    )

    assert team.features_for(3) == {
        "max_devices": 6,
        "members": 3,
        "projects": 10,
        "signals_enabled": True,
    }


def test_one_sold_item_is_known_by_its_most_trusted_name() -> None:
    catalogue = read_catalogue(
        {"plans": {"a": {"prices": ["prod_1"]}, "b": {"prices": ["price_1"]}}}
    )

    found = catalogue.plan_by_names(["price_1", None, "prod_1"])

    assert found is not None
    assert found.code == "b"
    assert catalogue.plan_by_names(["price_9"]) is None


def test_a_plan_is_found_by_its_own_code() -> None:
    catalogue = read_catalogue(plan())

    assert catalogue.plan_by_code("premium") == catalogue.plans[0]
    assert catalogue.plan_by_code("other") is None
    assert catalogue.plan_by_code(None) is None


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"plan": {}}, "plan: is unknown; there are plans, policy, catalogue, identity"),
        ({"plans": []}, "plans: must be a table, not a list"),
        ({"plans": {"a": 7}}, "plans.a: must be a table, not 7"),
        ({"plans": {"a": None}}, "plans.a: must be a table, not None"),
        (
            {"plans": {"a b": {}}},
            "plans.a b: a plan's code is 1 to 100 ASCII characters without spaces",
        ),
        (
            plan(grase_days=1),
            (
                "plans.premium.grase_days: is unknown;"
                " there are prices, grace_days, features, per_seat, lasts_days"
            ),
        ),
        (plan(prices="price_1"), "plans.premium.prices: must be a list of names, not 'price_1'"),
        (plan(prices=[""]), "plans.premium.prices: '' is not a usable name"),
        (plan(prices=[{}]), "plans.premium.prices: a table is not a usable name"),
        (plan(prices=["x" * 256]), f"plans.premium.prices: '{'x' * 59} is not a usable name"),
        (plan(prices=["a", "a"]), "plans.premium.prices: a is listed twice"),
        (plan(grace_days=-1), "plans.premium.grace_days: must be a whole number from 0 to 365"),
        (plan(grace_days=True), "plans.premium.grace_days: must be a whole number from 0 to 365"),
        (plan(features=True), "plans.premium.features: must be a table, not true"),
        (
            plan(features={"devices": "5"}),
            "plans.premium.features.devices: must be true, false or a whole number, not '5'",
        ),
        (
            plan(features={"devices": 1.5}),
            "plans.premium.features.devices: must be true, false or a whole number, not 1.5",
        ),
        (
            plan(features={"devices": -1}),
            (
                "plans.premium.features.devices:"
                " must not be negative: of several grants the larger number wins"
            ),
        ),
        (
            plan(features={"devices": 2**53}),
            "plans.premium.features.devices: must not be more than 9007199254740991",
        ),
        (
            plan(features={"max devices": 1}),
            (
                "plans.premium.features.max devices:"
                " a feature's name is 1 to 100 ASCII characters without spaces"
            ),
        ),
        (plan(per_seat=["a b"]), "plans.premium.per_seat: 'a b' is not a usable name"),
        (
            plan(prices=[date(2026, 11, 1)]),
            "plans.premium.prices: 2026-11-01 is not a usable name",
        ),
        (
            {"plans": {"a": {"features": {"x": True}}, "b": {"features": {"x": 1}}}},
            "plans.b.features.x: is a number here and true or false in plan a",
        ),
        (
            plan(per_seat=["on"], features={"on": True}),
            "plans.premium.per_seat: on is true or false in a plan, and no number",
        ),
        (plan(lasts_days=0), "plans.premium.lasts_days: must be a whole number from 1 to 36525"),
        (
            {"plans": {"a": {"prices": ["price_1"]}}, "catalogue": {"nothing": ["price_1"]}},
            "plans.a.prices: price_1 grants nothing by catalogue.nothing",
        ),
        ({"catalogue": {"free": []}}, "catalogue.free: is unknown; there are nothing, price_keys"),
        (
            {"catalogue": {"nothing": "price_1"}},
            "catalogue.nothing: must be a list of names, not 'price_1'",
        ),
        (
            {"identity": {"user_from": ["email"]}},
            "identity.user_from: email is unknown; there is metadata or client_reference_id",
        ),
        ({"identity": {"user_from": []}}, "identity.user_from: must not be empty"),
        ({"identity": {"metadata_keys": []}}, "identity.metadata_keys: must not be empty"),
        ({"identity": {"key": 1}}, "identity.key: is unknown; there are user_from, metadata_keys"),
        (
            {"plans": {"a": {"prices": ["price_1"]}, "b": {"prices": ["price_1"]}}},
            "plans.b.prices: price_1 belongs to plan a already",
        ),
        (
            {"plans": {"a": {"features": {"x": 1}}, "b": {"features": {"x": True}}}},
            "plans.b.features.x: is true or false here and a number in plan a",
        ),
        ({"policy": []}, "policy: must be a table, not a list"),
        ({"catalogue": []}, "catalogue: must be a table, not a list"),
        (
            {"catalogue": {"price_keys": ["gold"]}},
            "catalogue.price_keys: must be a table, not a list",
        ),
        (
            {"catalogue": {"price_keys": {"price_1": 7}}},
            "catalogue.price_keys: price_1: 7 is no lookup key",
        ),
        ({"identity": []}, "identity: must be a table, not a list"),
        (
            {"identity": {"metadata_keys": 7}},
            "identity.metadata_keys: must be a list of names, not 7",
        ),
        (
            {"policy": {"refund": "end"}},
            (
                "policy.refund: is unknown; there are"
                " refund_full, refund_partial, dispute_open, dispute_lost,"
                " subscription_refund_full, subscription_dispute_open,"
                " subscription_dispute_lost, collection_paused, unknown_price"
            ),
        ),
        (
            {"policy": {"refund_full": False}},
            'policy.refund_full: must be "keep" or "end", not false',
        ),
    ],
)
def test_a_problem_is_named_with_its_place(document: dict[str, Any], problem: str) -> None:
    assert problems(document) == (problem,)


def test_the_largest_of_everything_is_taken() -> None:
    read = read_catalogue(plan(prices=["x" * 255], grace_days=365, features={"devices": 2**53 - 1}))

    assert read.plans[0].grace_days == 365
    assert read.plans[0].features == {"devices": 9_007_199_254_740_991}


def test_a_feature_may_count_nothing_and_a_plan_may_end_after_a_day() -> None:
    written = plan(features={"devices": 0, "on": False}, lasts_days=1)

    catalogue = read_catalogue(written)

    assert catalogue.plans[0].features == {"devices": 0, "on": False}
    assert write_catalogue(catalogue)["plans"]["premium"] == {
        "prices": [],
        "grace_days": 0,
        "features": {"devices": 0, "on": False},
        "per_seat": [],
        "lasts_days": 1,
    }


def test_every_problem_is_named_at_once() -> None:
    found = problems(
        {"plans": {"a": {"grace_days": "7", "prices": 1}, "b": 2}, "policy": {"dispute_open": 3}}
    )

    assert [problem.split(":")[0] for problem in found] == [
        "plans.a.prices",
        "plans.a.grace_days",
        "plans.b",
        "policy.dispute_open",
    ]


names = st.text("abcdefgh_", min_size=1, max_size=8)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    counted = draw(st.sets(names, max_size=3))
    switches = draw(st.sets(names, max_size=3)) - counted
    codes = sorted(draw(st.sets(names, max_size=4)))
    plans = {
        code: {
            "prices": draw(st.lists(names.map(f"{code}-{{}}".format), unique=True, max_size=3)),
            "grace_days": draw(st.integers(0, 365)),
            "features": {name: draw(st.integers(0, 99)) for name in sorted(counted)}
            | {name: draw(st.booleans()) for name in sorted(switches)},
            "per_seat": sorted(counted) if draw(st.booleans()) else [],
        }
        | draw(st.dictionaries(st.just("lasts_days"), st.integers(1, 400)))
        for code in codes
    }
    policy = draw(st.dictionaries(st.just("refund_full"), st.sampled_from(["keep", "end"])))
    nothing = draw(st.lists(names.map("free-{}".format), unique=True, max_size=2))
    keys = draw(st.lists(names, unique=True, min_size=1, max_size=2))
    return {
        "plans": plans,
        "policy": policy,
        "catalogue": {"nothing": nothing},
        "identity": {"user_from": ["metadata"], "metadata_keys": keys},
    }


@given(documents())
def test_a_catalogue_comes_back_as_it_was_written(document: dict[str, Any]) -> None:
    catalogue = read_catalogue(document)

    stored = json.loads(json.dumps(write_catalogue(catalogue), sort_keys=True))

    assert read_catalogue(stored) == catalogue
    assert write_catalogue(read_catalogue(stored)) == write_catalogue(catalogue)


@given(
    st.dictionaries(
        st.sampled_from(["plans", "policy", "catalogue", "identity", "x"]), st.from_type(object)
    )
)
def test_an_odd_document_is_refused_and_nothing_worse(document: dict[str, Any]) -> None:
    with suppress(InvalidCatalogue):
        read_catalogue(document)


GOLD = {"plans": {"premium": {"prices": ["gold", "price_b"]}, "basic": {"prices": ["silver"]}}}


def with_keys(price_keys: Mapping[str, str], **parts: Any) -> Catalogue:
    return read_catalogue({**GOLD, **parts}).with_price_keys(price_keys)


def test_a_price_that_bore_a_lookup_key_of_a_plan_stands_for_the_plan() -> None:
    catalogue = with_keys({"price_a": "gold", "price_b": "silver", "price_c": "bronze"})

    found = [catalogue.plan_by_names([price]) for price in ("price_a", "price_b", "price_c")]
    assert [plan.code if plan else None for plan in found] == ["premium", "premium", None]


def test_a_price_that_grants_nothing_on_purpose_stands_for_no_key() -> None:
    catalogue = with_keys({"price_a": "gold"}, catalogue={"nothing": ["price_a"]})

    assert catalogue.first_known(["price_a"]) == "price_a"
    assert catalogue.plan_by_names(["price_a", "gold"]) is None


def test_what_a_catalogue_knows_of_keys_itself_comes_before_what_it_is_given() -> None:
    catalogue = with_keys({"price_a": "silver"}).with_price_keys(
        {"price_a": "gold", "price_d": "gold"}
    )

    assert catalogue.price_keys == {"price_a": "silver", "price_d": "gold"}
    assert read_catalogue(write_catalogue(catalogue)) == catalogue


def test_catalogues_that_differ_in_what_a_key_stands_on_count_as_two() -> None:
    before, after = with_keys({"price_a": "gold"}), with_keys({"price_a": "silver"})

    assert after.with_former([before]).former == (before,)
    assert after.with_former([with_keys({"price_a": "silver"})]).former == ()


def test_names_that_may_be_lookup_keys_are_those_that_are_no_ids() -> None:
    prices = ["price_1", "plan_1", "prod_1", "plink_1", "zinc", "gold"]

    assert read_catalogue({"plans": {"a": {"prices": prices}}}).names_besides_prices() == (
        "gold",
        "zinc",
    )


@pytest.mark.parametrize("keys", [{"price_a": 5}, {"": "gold"}, {"price_a": ""}, ["gold"]])
def test_keys_of_prices_are_texts(keys: Any) -> None:
    with pytest.raises(InvalidCatalogue, match="price_keys"):
        read_catalogue({"catalogue": {"price_keys": keys}})
