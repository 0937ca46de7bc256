"""Rows and notes of one payment go with it; what concerns anything else stays."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from billing.archiving.archive import archive
from billing.archiving.components import components_of
from billing.archiving.leaving import ArchivedNote, Leaving, NoteKind, what_leaves
from billing.archiving.old_payments import KEPT_PAYMENTS
from billing.catalogue import read_catalogue
from billing.facts import Fact
from billing.ids import ObjectKey
from billing.projection.party import PartyFacts
from billing.rows import NoGrant, Projection
from tests.billing.fact_builders import (
    CATALOGUE,
    DAY,
    at,
    checkout,
    customer,
    intent,
    invoice,
    item,
    line,
    project_facts,
    subscription,
)

NOW = at(400 * DAY)
TWELVE = range(1, 13)


def left_and_gone(*facts: Fact) -> tuple[Projection, tuple[ArchivedNote, ...]]:
    """Return what stays of a party's projection, and the notes in its archives."""
    party = PartyFacts(facts)
    found = archive(party, party.project(CATALOGUE, NOW), CATALOGUE, NOW)
    return (found.rest, found.leaving.notes) if found else (Projection(), ())


def bare(day: int, **given: Any) -> Fact:
    return intent(seconds=day * DAY, stripe_id=f"pi_{day}", **given)


def billed_beside(day: int) -> Fact:
    """Return an invoice of a subscription with a line that is a part of it."""
    sold = line("price_premium", id=f"il_{day}", kind="invoiceitem", subscription="sub_1")
    return invoice(day * DAY, stripe_id=f"in_{day}", lines=(sold,))


def bought(day: int) -> Fact:
    named = {"payment_intent": f"pi_{day}", "price_id": "price_team"}
    paid = checkout(day * DAY, stripe_id=f"cs_{day}", **named)
    return replace(paid, mentions=(*paid.mentions, ObjectKey(f"test:pi_{day}")))


def names_an_invoice(day: int) -> Fact:
    return bare(day, order_reference=f"in_{day:08}")


RUNNING = subscription("active", 0)
USER = customer("usr_1")
WITHOUT_GRANT = NoteKind.WITHOUT_GRANT


@pytest.mark.parametrize(
    ("first", "paid", "note"),
    [
        (USER, bare, (WITHOUT_GRANT, "pi_{}", NoGrant.UNNAMED)),
        (
            RUNNING,
            lambda day: bare(day, plan_code="premium"),
            (WITHOUT_GRANT, "pi_{}", NoGrant.BESIDE_SUBSCRIPTION),
        ),
        (RUNNING, billed_beside, (WITHOUT_GRANT, "il_{}", NoGrant.PART_OF_SUBSCRIPTION)),
        (customer(None), bare, (NoteKind.CANDIDATES, "pi_{}", ())),
        (USER, bought, (NoteKind.WITHOUT_LINE_ITEMS, "test:cs_{}", None)),
        (USER, names_an_invoice, (NoteKind.AWAITING_INVOICE, "pi_{}", None)),
    ],
    ids=["unnamed", "beside", "part", "without user", "without lines", "awaiting"],
)
def test_notes_of_every_kind_go_with_the_payment_that_they_are_about(
    first: Fact, paid: Callable[[int], Fact], note: tuple[NoteKind, str, Any]
) -> None:
    kind, name, value = note

    rest, gone = left_and_gone(first, *map(paid, TWELVE))

    found = {each.name: each for each in gone if each.kind is kind}
    assert {name.format(day) for day in range(2, 9)} <= found.keys()
    assert {each.value for each in found.values()} == {value}
    assert all(each.name.removeprefix("test:")[3:] in each.archive for each in found.values())
    stays = getattr(rest, kind)
    assert name.format(12) in stays
    assert found.keys().isdisjoint(stays)


@pytest.mark.parametrize(("days", "goes"), [(None, True), (500, False)])
def test_a_payment_stays_while_time_alone_will_end_what_it_bought(
    days: int | None, *, goes: bool
) -> None:
    year = {"prices": ["price_year"], "features": {"beta": True}}
    lasts = {} if days is None else {"lasts_days": days}
    catalogue = read_catalogue({"plans": {"year": {**year, **lasts}}})
    party = PartyFacts([USER, *(bare(day, price_id="price_year") for day in TWELVE)])

    found = archive(party, party.project(catalogue, NOW), catalogue, NOW)

    assert (found is not None) is goes


def test_whoever_waits_still_waits_for_the_newest_payments() -> None:
    rest, gone = left_and_gone(customer(None), *map(bare, TWELVE))

    assert len({each.archive for each in gone}) == len(TWELVE) - KEPT_PAYMENTS
    assert rest.waiting
    assert len(rest.candidates) == KEPT_PAYMENTS


@pytest.mark.parametrize("price", ["price_x", "pi_1"])
def test_a_payment_that_alone_names_a_price_in_no_plan_stays_with_its_note(price: str) -> None:
    odd = bare(1, price_id=price)

    rest, gone = left_and_gone(customer(None), odd, *map(bare, TWELVE[1:]))

    assert rest.without_grant[price] == NoGrant.UNKNOWN_PRICE
    assert ("test", "pi_1") in rest.payments
    assert "pi_2" in {each.name for each in gone}


def leaving(*facts: Fact, gone: Fact, **after: Any) -> Leaving | None:
    """Return what leaves with one payment; ``after`` is what else changes without it."""
    everything = project_facts(*facts, gone)
    without = replace(project_facts(*facts), **after)
    return what_leaves(everything, without, components_of([gone]))


def test_nothing_goes_if_a_row_or_a_note_would_come() -> None:
    before, paid = project_facts(bare(1), bare(2)), components_of([bare(2)])

    assert what_leaves(before, project_facts(bare(1)), paid) is not None
    assert what_leaves(before, project_facts(bare(1), bare(3)), paid) is None
    assert leaving(bare(1), gone=bare(2), awaiting_invoice=frozenset({"pi_1"})) is None


def test_nothing_goes_if_a_row_or_a_note_goes_that_belongs_to_none_of_the_payments() -> None:
    before, paid = project_facts(bare(1), bare(2)), components_of([bare(2)])

    assert what_leaves(before, Projection(), paid) is None
    assert leaving(bare(1), gone=bare(2), without_grant={}) is None


def test_nothing_goes_if_a_reason_changes_or_what_all_payments_share() -> None:
    reasons = {"pi_1": NoGrant.BESIDE_SUBSCRIPTION}
    assert leaving(bare(1), gone=bare(2), without_grant=reasons) is None
    assert leaving(bare(1), gone=bare(2), due_at=NOW) is None


def test_a_price_that_nothing_else_names_does_not_go() -> None:
    sold = invoice(DAY, subscription=None, lines=(line("price_x"),), user_id="usr_1")

    assert leaving(bare(1), gone=sold) is None
    assert leaving(subscription("active", 0, item("price_x")), gone=sold) is not None
