"""Rows of plans that are no longer sold stay and grant nothing, in any order of facts."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.catalogue import Catalogue, read_catalogue
from billing.facts import Fact
from billing.projection.party import project
from billing.rows import EntitlementRow, Key, Projection, PurchaseStatus
from tests.billing.fact_builders import (
    CATALOGUE,
    DAY,
    at,
    charge,
    checkout,
    intent,
    invoice,
    item,
    line,
    project_facts,
    refund,
    subscribed,
    subscription,
)
from tests.billing.fact_worlds import HISTORIES

PLANS = ("premium", "basic", "team", "platinum")
PRICES = ("price_premium", "price_basic", "price_team", "price_x")
NEVER = read_catalogue({})


def selling(**prices: str) -> Catalogue:
    """Return a catalogue of plans by their prices, each with a feature of its own name."""
    document = {
        plan: {"prices": price.split(), "features": {plan: True}} for plan, price in prices.items()
    }
    return read_catalogue({"plans": document})


def with_nothing(catalogue: Catalogue, *prices: str) -> Catalogue:
    """Return the catalogue, in which these prices grant nothing on purpose."""
    return replace(catalogue, nothing=frozenset(prices))


def gone(*former: Catalogue) -> Catalogue:
    """Return a catalogue that sells nothing, as the successor of these."""
    return NEVER.with_former(former or (CATALOGUE,))


def by_plan(projection: Projection) -> dict[str, EntitlementRow]:
    return {row.plan_code: row for row in projection.entitlements.values()}


CATALOGUES = st.dictionaries(
    st.sampled_from(PLANS), st.lists(st.sampled_from(PRICES), unique=True, max_size=2), max_size=3
).map(lambda found: selling(**{plan: " ".join(own) for plan, own in _apart(found).items()}))


def _apart(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """Assign each price to the first plan that names it."""
    taken: set[str] = set()
    apart = {}
    for plan, prices in found.items():
        apart[plan] = [price for price in prices if price not in taken]
        taken.update(prices)
    return apart


def sold_with_a_bill_of_a_subscription() -> list[Fact]:
    """Return a checkout of ``platinum`` on whose payment ``basic`` stands."""
    return [
        checkout(price_id=None, plan_code="platinum", invoice="in_1"),
        intent(plan_code="basic"),
        invoice(lines=(), amount_paid=0),
    ]


SOLD_ONCE = selling(gold="price_x")
WITH_A_FEE = (subscription(), invoice(lines=(line("price_x"),)))
BEGUN_WITH_A_FEE = (
    subscription(),
    checkout(
        mode="subscription", payment_intent=None, subscription="sub_1", lines=(line("price_x"),)
    ),
)
NAMED_BESIDE = (
    subscription("active", 0, item("price_x")),
    intent(seconds=5, plan_code="gold", user_id="usr_1"),
)
BILLED_ALONE = (invoice(subscription=None, user_id="usr_1", lines=(line("price_x"),)),)
DROPPED: list[tuple[tuple[Fact, ...], str, Catalogue, Catalogue]] = [
    (WITH_A_FEE, "in_1", SOLD_ONCE, selling(gold="price_x price_premium")),
    (WITH_A_FEE, "in_1", SOLD_ONCE, selling(gold="price_premium")),
    (
        WITH_A_FEE,
        "in_1",
        selling(premium="price_premium", gold="price_x"),
        selling(premium="price_premium price_x"),
    ),
    (BEGUN_WITH_A_FEE, "cs_1", SOLD_ONCE, selling(gold="price_x price_premium")),
    (NAMED_BESIDE, "pi_1", selling(gold=""), SOLD_ONCE),
    (WITH_A_FEE, "in_1", SOLD_ONCE, with_nothing(NEVER, "price_x")),
    (BILLED_ALONE, "in_1", SOLD_ONCE, with_nothing(NEVER, "price_x")),
]
"""Facts that bought ``gold`` by the first catalogue and nothing by the second, under this name."""


def _prices(catalogue: Catalogue) -> frozenset[tuple[str, frozenset[str]]]:
    return frozenset((plan.code, frozenset(plan.prices)) for plan in catalogue.plans)


# A catalogue that comes back was never gone, as the next test says.
@given(HISTORIES, st.lists(CATALOGUES, min_size=2, max_size=4, unique_by=_prices))
@example(sold_with_a_bill_of_a_subscription(), [selling(basic=""), selling(platinum="")])
def test_every_row_there_ever_was_stays_and_what_is_not_sold_is_not_in_force(
    facts: list[Fact], catalogues: list[Catalogue]
) -> None:
    *former, of_record = catalogues
    now = at(3 * DAY)

    after = project(facts, of_record.with_former(former), now).entitlements

    for place, each in enumerate(former):
        before = project(facts, each.with_former(former[:place]), now).entitlements
        assert before.keys() <= after.keys()
    alone = project(facts, of_record, now).entitlements
    # What a former catalogue knew ends the search for a name, so it may take a plan, and adds none.
    assert set(_active(after)) <= set(_active(alone))
    assert _sources(alone) <= _sources(after)


def _sources(rows: Mapping[Key, EntitlementRow]) -> set[tuple[str, str, str]]:
    return {(row.user_id, row.source, row.realm) for row in rows.values()}


def _active(rows: Mapping[Key, EntitlementRow]) -> Iterator[tuple[Key, str]]:
    return ((key, f"{row}") for key, row in rows.items() if row.active)


@given(HISTORIES, CATALOGUES, CATALOGUES)
def test_plans_that_come_back_leave_what_they_would_have_without_the_time_between(
    facts: list[Fact], catalogue: Catalogue, between: Catalogue
) -> None:
    now = at(3 * DAY)

    back = project(facts, catalogue.with_former([catalogue, between]), now)
    ever = project(facts, catalogue.with_former([between]), now)

    assert back == ever


def test_a_subscription_on_a_former_plan_keeps_its_row() -> None:
    before = project_facts(subscription("active", 5))
    projection = project_facts(subscription("active", 5), catalogue=gone())
    row = by_plan(projection)["premium"]

    assert before.entitlements.keys() == projection.entitlements.keys()
    assert not row.active
    assert row.entitlements == {"signals_enabled": True, "max_devices": 5}
    assert (row.starts_at, row.expires_at) == (at(5), None)
    assert row.because == (
        "Subscription sub_1 granted plan premium under an earlier catalogue,"
        " but not under the current one."
    )
    assert projection.unknown_prices == {"price_premium"}
    assert projection.due_at is None


def test_a_price_that_changes_plans_leaves_a_row_of_each() -> None:
    moved = selling(basic="price_basic", premium="price_other", gold="price_premium")
    rows = by_plan(
        project_facts(subscription("active", 5), catalogue=moved.with_former([CATALOGUE]))
    )

    assert {plan: row.active for plan, row in rows.items()} == {"premium": False, "gold": True}
    assert rows["premium"].entitlements == {"premium": True}
    assert rows["gold"].starts_at == at(5)


def test_the_newest_catalogue_with_a_plan_decides_its_features() -> None:
    first, second = selling(premium="price_premium"), CATALOGUE
    rows = by_plan(project_facts(subscription("active"), catalogue=gone(first, second)))

    assert rows["premium"].entitlements == {"signals_enabled": True, "max_devices": 5}
    assert by_plan(project_facts(subscription("active"), catalogue=gone(second, first)))[
        "premium"
    ].entitlements == {"premium": True}


def test_seats_of_a_former_plan_are_those_that_were_paid_for() -> None:
    seats = (item("price_team", 3), item("price_team", 2))
    rows = by_plan(project_facts(subscription("active", 0, *seats), catalogue=gone()))

    assert rows["team"].entitlements == {"max_devices": 10}
    assert rows["team"].per_seat == ("max_devices",)


def test_a_subscription_on_two_former_plans_keeps_a_row_of_each() -> None:
    items = (item("price_premium"), item("price_basic"))
    rows = by_plan(project_facts(subscription("active", 5, *items), catalogue=gone()))

    assert {plan: row.active for plan, row in rows.items()} == {"premium": False, "basic": False}


def test_a_plan_of_two_former_catalogues_began_when_either_had_it_first() -> None:
    both = selling(premium="price_basic price_premium")
    one = selling(premium="price_premium", basic="price_basic")
    facts = [subscription("active", 0, item("price_basic")), subscription("active", 5, item())]

    for former in ((both, one), (one, both)):
        row = by_plan(project_facts(facts, catalogue=gone(*former)))["premium"]
        assert row.starts_at == at(0)


def test_a_price_that_was_of_two_former_plans_keeps_a_row_of_each() -> None:
    former = (selling(gold="price_x"), selling(silver="price_x"))
    rows = by_plan(project_facts(checkout(price_id="price_x"), catalogue=gone(*former)))

    assert rows.keys() == {"gold", "silver"}


def test_a_purchase_of_two_former_plans_keeps_a_row_of_each() -> None:
    paid = invoice(7, subscription=None, user_id="usr_1", lines=(line(), line("price_basic")))
    rows = by_plan(project_facts(paid, catalogue=gone()))

    assert {plan: row.active for plan, row in rows.items()} == {"premium": False, "basic": False}


def test_a_name_that_a_former_catalogue_knew_ends_the_search() -> None:
    bought = checkout(price_id="price_x", payment_link="plink_premium")
    sold_once = CATALOGUE.with_former([selling(gold="price_x")])

    assert by_plan(project_facts(bought))["premium"].active
    rows = by_plan(project_facts(bought, catalogue=sold_once))
    assert {plan: row.active for plan, row in rows.items()} == {"gold": False}


def test_a_name_ends_the_search_of_a_former_catalogue_if_an_earlier_one_knew_it() -> None:
    bought = checkout(price_id="price_x", payment_link="plink_premium")
    former = (selling(gold="price_x"), selling(premium="plink_premium"))

    assert by_plan(project_facts(bought, catalogue=gone(*former))).keys() == {"gold"}
    assert by_plan(project_facts(bought, catalogue=gone(*former[::-1]))).keys() == {
        "gold",
        "premium",
    }


def test_a_fee_that_was_a_plan_of_a_former_catalogue_is_no_part_of_a_subscription() -> None:
    fee = line("price_x", product="prod_premium")
    sold_once = CATALOGUE.with_former([selling(gold="price_x")])
    facts = [subscription(), invoice(lines=(fee,))]

    assert not project_facts(facts).purchases
    (row,) = project_facts(facts, catalogue=sold_once).purchases.values()
    assert (row.price, row.plan_code) == ("price_x", None)


def test_a_plan_on_the_payment_of_a_checkout_stays_if_its_bill_is_of_a_subscription() -> None:
    facts, former = sold_with_a_bill_of_a_subscription(), selling(basic="")
    sold = selling(basic="", platinum="").with_former([former])

    assert by_plan(project_facts(facts, catalogue=former)).keys() == {"basic"}
    rows = by_plan(project_facts(facts, catalogue=sold))
    assert {plan: row.active for plan, row in rows.items()} == {"basic": False, "platinum": True}
    assert rows["basic"].because == "Purchase pi_1 turned out to be of another plan."


@pytest.mark.parametrize(("facts", "ref", "former", "present"), DROPPED)
def test_what_buys_nothing_any_more_keeps_the_row_of_its_former_plan_and_nothing_else(
    facts: tuple[Fact, ...], ref: str, former: Catalogue, present: Catalogue
) -> None:
    before = project_facts(*facts, catalogue=former).entitlements
    alone = project_facts(*facts, catalogue=present)
    after = project_facts(*facts, catalogue=present.with_former([former]))
    key = ("usr_1", ref, "gold", "test")

    assert before[key].active
    assert key not in alone.entitlements
    row = after.entitlements[key]
    assert (row.active, row.starts_at) == (False, before[key].starts_at)
    assert row.because == (
        f"Purchase {ref} granted plan gold under an earlier catalogue,"
        " but not under the current one."
    )
    assert not after.purchases
    assert after.payments == alone.payments
    in_force = {key: row for key, row in after.entitlements.items() if row.active}
    assert in_force == {key: row for key, row in alone.entitlements.items() if row.active}


def test_a_plan_that_another_line_still_sells_stays_in_force() -> None:
    paid = invoice(subscription=None, user_id="usr_1", lines=(line("price_x"), line("price_y")))
    present = with_nothing(selling(gold="price_y"), "price_x")
    rows = by_plan(
        project_facts(
            paid, catalogue=present.with_former([selling(gold="price_y", silver="price_x")])
        )
    )

    assert {plan: row.active for plan, row in rows.items()} == {"gold": True, "silver": False}
    assert rows["gold"].because == "Purchase in_1 is paid."


def test_each_of_two_fees_that_buy_nothing_any_more_keeps_its_row() -> None:
    again = invoice(5, stripe_id="in_2", lines=(line("price_x"),))
    present = with_nothing(NEVER, "price_x").with_former([SOLD_ONCE])
    rows = project_facts(*WITH_A_FEE, again, catalogue=present).entitlements

    assert {row.source for row in rows.values() if row.plan_code == "gold"} == {"in_1", "in_2"}


def test_the_newest_catalogue_that_sold_what_buys_nothing_now_decides_its_features() -> None:
    sold = {"prices": ["price_x", "price_z"], "features": {"new": True}}
    newer = read_catalogue({"plans": {"gold": sold}})
    nothing = with_nothing(NEVER, "price_x")
    kept = with_nothing(selling(gold="price_y"), "price_x")

    def features(present: Catalogue, *former: Catalogue) -> Mapping[str, object]:
        projection = project_facts(*BILLED_ALONE, catalogue=present.with_former(former))
        return by_plan(projection)["gold"].entitlements

    assert features(nothing, SOLD_ONCE, newer) == {"new": True}
    assert features(nothing, newer, SOLD_ONCE) == {"gold": True}
    assert features(kept, newer) == {"gold": True}


def test_what_bought_nothing_by_a_former_catalogue_either_leaves_no_row() -> None:
    part = selling(gold="price_x price_premium")
    rows = project_facts(
        *WITH_A_FEE, catalogue=part.with_former([selling(gold="price_x price_premium price_y")])
    )

    assert [row.source for row in rows.entitlements.values()] == ["sub_1"]


def test_a_second_checkout_of_a_payment_leaves_no_row_that_it_never_had() -> None:
    first = checkout(plan_code="premium")
    second = checkout(stripe_id="cs_2", price_id=None, lines=(line("price_x"),))
    former = selling(premium="price_premium", gold="price_x")
    present = with_nothing(selling(premium="price_premium"), "price_x")

    before = by_plan(project_facts(first, second, catalogue=former))
    after = by_plan(project_facts(first, second, catalogue=present.with_former([former])))
    assert before.keys() == after.keys() == {"premium"}


def test_a_plan_that_two_events_of_a_checkout_name_only_together_keeps_its_row() -> None:
    first = checkout(0, price_id="price_premium", plan_code="basic")
    second = checkout(5, price_id="price_x")
    former, now = selling(basic="", premium="price_premium"), selling(team="price_x")

    before = by_plan(project_facts(first, second, catalogue=former))
    after = by_plan(project_facts(first, second, catalogue=now.with_former([former])))

    assert before.keys() == {"basic", "premium"}
    assert before.keys() <= after.keys()


def test_a_checkout_that_began_a_subscription_of_a_former_plan_leaves_its_row() -> None:
    rows = by_plan(project_facts(subscribed(), now=DAY, catalogue=gone()))

    assert not rows["premium"].active


@pytest.mark.parametrize(
    "paid",
    [
        checkout(7),
        checkout(7, price_id=None, plan_code="premium"),
        intent(seconds=7, price_id="price_premium", user_id="usr_1"),
        invoice(7, stripe_id="pi_1", subscription=None, user_id="usr_1"),
    ],
)
def test_a_purchase_of_a_former_plan_keeps_its_row_and_waits(paid: Fact) -> None:
    projection = project_facts(paid, catalogue=gone())
    row = by_plan(projection)["premium"]
    (purchase,) = projection.purchases.values()

    assert project_facts(paid).entitlements.keys() == projection.entitlements.keys()
    assert (row.active, row.starts_at, row.expires_at) == (False, at(7), None)
    assert row.because == (
        "Purchase pi_1 granted plan premium under an earlier catalogue,"
        " but not under the current one."
    )
    assert (purchase.status, purchase.plan_code) == (PurchaseStatus.PAID, None)
    assert projection.unknown_prices in ({"price_premium"}, {"premium"})


def test_the_payments_of_a_checkout_name_a_former_plan_only_if_none_is_sold() -> None:
    bought = checkout(price_id=None)
    basic = selling(basic="price_basic").with_former([CATALOGUE])
    paid = intent(price_id="price_premium")
    billed = invoice(stripe_id="in_9", subscription=None, lines=(line("price_basic"),))

    alone = by_plan(project_facts(bought, paid, catalogue=basic))
    assert {plan: row.active for plan, row in alone.items()} == {"premium": False}
    both = by_plan(
        project_facts(checkout(price_id=None, invoice="in_9"), paid, billed, catalogue=basic)
    )
    assert {plan: row.active for plan, row in both.items()} == {"premium": False, "basic": True}


def test_a_refund_says_nothing_of_a_former_plan() -> None:
    facts = (checkout(), charge(), refund("succeeded", DAY))
    (row,) = by_plan(project_facts(*facts, catalogue=gone())).values()

    assert "under an earlier catalogue" in row.because
    assert row.expires_at == at(DAY)


def test_alike_catalogues_are_remembered_once_and_the_one_of_record_not_at_all() -> None:
    richer = read_catalogue({"plans": {"premium": {"prices": ["a", "b"], "grace_days": 3}}})
    poorer = read_catalogue({"plans": {"premium": {"prices": ["b", "a"]}}})
    other = selling(other="a")

    assert NEVER.with_former([richer, other, poorer]).former == (poorer, other)
    assert poorer.with_former([richer, other, poorer]).former == (other,)
    assert poorer.with_former([other]) == poorer
