"""Other plans move purchases to other plans, or begin again what had ended."""

from typing import Any

import pytest

from billing.catalogue import Catalogue, read_catalogue
from billing.facts import CreditedLine, Fact
from billing.ids import PartyId
from ops.plans.purchases import purchase_moves, revived_purchases
from runtime.ledger.maintenance.preview import PartyPreview
from runtime.ledger.rows import rows_of
from tests.billing.fact_builders import (
    DAY,
    at,
    charge,
    credit_note,
    customer,
    intent,
    invoice,
    line,
    project_facts,
    subscription,
)

NOW = 10 * DAY
PASS = [
    customer("usr_1"),
    invoice(subscription=None, lines=(line("price_day"),), payment_refs=("pi_1",)),
    intent(),
]
TWO_LINES = [
    customer("usr_1"),
    invoice(
        subscription=None,
        lines=(line("price_day"), line("price_life")),
        payment_refs=("pi_1",),
    ),
    intent(),
]
SOLD_FOR_TWO_DAYS = [
    customer("usr_1"),
    invoice(subscription=None, lines=(line("price_day", lasts=2 * DAY),), payment_refs=("pi_1",)),
    intent(),
]
CREDITED = [
    *TWO_LINES,
    credit_note(
        5,
        total=100,
        lines=(CreditedLine(invoice_line="il_price_day", amount=100, quantity=None),),
    ),
]
REFUNDED = [*PASS, charge(5, amount_refunded=2999)]
LATE = [subscription("past_due", 0)]


def plans(*, end: str = "end", partial: str = "keep", **given: Any) -> Catalogue:
    """Return the plans day (a day), life and premium (of subscriptions), changed as given."""
    usual: dict[str, dict[str, Any]] = {
        "day": {"prices": ["price_day"], "lasts_days": 1},
        "life": {"prices": ["price_life"]},
        "premium": {"prices": ["price_premium"], "grace_days": 1},
    }
    document = {code: {**each, **given.get(code, {})} for code, each in usual.items()}
    for each in document.values():
        if not each.get("lasts_days", 1):
            del each["lasts_days"]
    return read_catalogue(
        {"plans": document, "policy": {"refund_full": end, "refund_partial": partial}}
    )


MOVED: dict[str, Any] = {
    "day": {"prices": ["price_x"]},
    "life": {"prices": ["price_life", "price_day"]},
}


def preview(facts: list[Fact], new: Catalogue, *, old: Catalogue | None = None) -> PartyPreview:
    record = old or plans()
    return PartyPreview(
        party=PartyId("cus_1"),
        before=rows_of(project_facts(facts, catalogue=record, now=NOW)),
        projection=project_facts(facts, catalogue=new.with_former((record,)), now=NOW),
        decisions=(),
        now=at(NOW),
    )


@pytest.mark.parametrize(
    ("facts", "new", "plan"),
    [
        (PASS, plans(day={"lasts_days": 30}), "day"),
        (PASS, plans(day={"lasts_days": 0}), "day"),
        (PASS, plans(**MOVED), "life"),
        (TWO_LINES, plans(day={"lasts_days": 30}), "day"),
        (TWO_LINES, plans(**MOVED), "life"),
    ],
)
def test_a_purchase_that_had_ended_by_itself_begins_again(
    facts: list[Fact], new: Catalogue, plan: str
) -> None:
    (revived,) = revived_purchases(preview(facts, new))

    assert (revived.purchase_ref, revived.user_id, revived.plan_code) == ("pi_1", "usr_1", plan)


def test_a_refunded_purchase_begins_again_under_a_milder_policy() -> None:
    endless = plans(day={"lasts_days": 0})
    milder = plans(day={"lasts_days": 0}, end="keep")

    (revived,) = revived_purchases(preview(REFUNDED, milder, old=endless))
    assert (revived.purchase_ref, revived.until) == ("pi_1", None)
    assert not [*revived_purchases(preview(REFUNDED, endless, old=endless))]


def test_a_line_that_was_credited_begins_again_beside_one_that_never_ended() -> None:
    strict = plans(day={"lasts_days": 0}, partial="end")
    milder = plans(day={"lasts_days": 0})

    (revived,) = revived_purchases(preview(CREDITED, milder, old=strict))
    assert revived.plan_code == "day"


@pytest.mark.parametrize(
    ("facts", "old", "new"),
    [
        (PASS, plans(), plans(day={"lasts_days": 9})),
        (PASS, plans(day={"lasts_days": 30}), plans(day={"lasts_days": 90})),
        (PASS, plans(day={"lasts_days": 30}), plans(**MOVED)),
        (PASS, plans(day={"prices": ["price_x"]}), plans(day={"lasts_days": 30})),
        (SOLD_FOR_TWO_DAYS, plans(day={"prices": ["price_x"]}), plans(day={"lasts_days": 30})),
        (TWO_LINES, plans(), plans(life={"features": {"more": True}})),
        (LATE, plans(), plans(premium={"grace_days": 90})),
    ],
)
def test_what_still_runs_never_began_or_is_a_subscription_is_not_begun_again(
    facts: list[Fact], old: Catalogue, new: Catalogue
) -> None:
    assert not [*revived_purchases(preview(facts, new, old=old))]


@pytest.mark.parametrize(
    ("old", "new", "before", "after"),
    [
        (plans(), plans(**MOVED), "day", "life"),
        (plans(), plans(day={"prices": ["price_x"]}), "day", None),
        (plans(day={"prices": ["price_x"]}), plans(), None, "day"),
    ],
)
def test_a_purchase_whose_plan_changes_is_named_with_both_plans(
    old: Catalogue, new: Catalogue, before: str | None, after: str | None
) -> None:
    (move,) = purchase_moves(preview(PASS, new, old=old))

    assert (move.purchase_ref, move.user_id) == ("pi_1", "usr_1")
    assert (move.before, move.after) == (before, after)


def test_a_purchase_that_keeps_its_plan_is_not_among_them() -> None:
    assert not [*purchase_moves(preview(PASS, plans(day={"lasts_days": 30})))]
