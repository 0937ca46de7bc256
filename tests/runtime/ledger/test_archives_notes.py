"""Notes of archived payments stay right, whatever comes to be known of their customer later."""

from collections.abc import Sequence
from typing import Any

import pytest

from billing.archiving.leaving import NoteKind
from billing.facts import Fact
from tests.billing.fact_builders import (
    DAY,
    checkout,
    customer,
    intent,
    invoice,
    item,
    line,
    link,
    subscription,
    summary,
)
from tests.runtime.ledger.party_in_memory import PartyInMemory
from tests.runtime.ledger.test_archives_in_memory import recorded

DAYS = range(1, 7)
USER = customer("usr_1")


def bare(day: int, **given: Any) -> Fact:
    return intent(seconds=day * DAY, stripe_id=f"pi_{day}", **given)


def names_an_invoice(day: int) -> Fact:
    return bare(day, order_reference=f"in_{day:08}")


def bought(day: int) -> Fact:
    named = {"payment_intent": f"pi_{day}", "price_id": "price_team"}
    return checkout(day * DAY, stripe_id=f"cs_{day}", **named)


def noted(party: PartyInMemory) -> set[tuple[NoteKind, str]]:
    return set(party.notes)


BARE = tuple(map(bare, DAYS))
AWAITING = tuple(map(names_an_invoice, DAYS))
SESSIONS = tuple(map(bought, DAYS))
NAMED = {day: bare(day, user_id=f"usr_{day}") for day in (1, 2)}


@pytest.mark.parametrize(
    ("before", "further"),
    [
        ((USER, *BARE), subscription("active", 9 * DAY, item("price_team"))),
        ((USER, *AWAITING), subscription("active", 9 * DAY, item("price_team"))),
        ((USER, *BARE), summary("signals", seconds=9 * DAY)),
    ],
    ids=["bare", "awaiting", "summary"],
)
def test_a_first_subscription_or_summary_explains_all_payments_that_name_no_plan(
    before: Sequence[Fact], further: Fact
) -> None:
    assert len(noted(recorded(*before))) >= 4

    assert noted(recorded(*before, further)) == set()


def test_a_user_who_becomes_known_gets_everything_that_waits() -> None:
    waiting = (customer(None), *BARE)
    archived = noted(recorded(*waiting))
    assert {name for kind, name in archived if kind is NoteKind.CANDIDATES} >= {"pi_1", "pi_2"}

    for further in (customer("usr_1", 9 * DAY), link("cus_1", "usr_1", 9 * DAY)):
        archived = noted(recorded(*waiting, further))
        assert {kind for kind, _ in archived} == {NoteKind.WITHOUT_GRANT}


def test_a_second_user_is_a_candidate_of_what_comes_after_as_the_first_one_is() -> None:
    recorded(*NAMED.values(), *(bare(day) for day in range(3, 9)), bare(9, user_id="usr_3"))


def test_a_payment_that_is_linked_to_a_user_waits_no_more_and_the_others_do() -> None:
    party = recorded(customer(None), *BARE, link("pi_2", "usr_1", 9 * DAY))

    assert (NoteKind.CANDIDATES, "pi_2") not in noted(party)
    assert (NoteKind.CANDIDATES, "pi_1") in noted(party)


def test_an_invoice_that_comes_at_last_ends_the_waiting_of_its_payment_alone() -> None:
    came = invoice(9 * DAY, stripe_id="in_00000002", subscription=None, payment_refs=("pi_2",))
    assert (NoteKind.AWAITING_INVOICE, "pi_2") in noted(recorded(USER, *AWAITING))

    party = recorded(USER, *AWAITING, came)

    assert (NoteKind.AWAITING_INVOICE, "pi_2") not in noted(party)
    assert (NoteKind.AWAITING_INVOICE, "pi_1") in noted(party)


def test_an_invoice_that_a_cut_off_reference_fits_ends_the_waiting_of_its_payment() -> None:
    paid = [bare(day, order_reference=f"in_{day:08}") for day in DAYS]

    party = recorded(USER, *paid, invoice(9 * DAY, stripe_id="in_00000002abc", subscription=None))

    assert (NoteKind.AWAITING_INVOICE, "pi_2") not in noted(party)


def test_line_items_that_were_fetched_end_the_note_of_their_checkout_alone() -> None:
    assert (NoteKind.WITHOUT_LINE_ITEMS, "test:cs_2") in noted(recorded(USER, *SESSIONS))
    shown = checkout(
        9 * DAY,
        stripe_id="cs_2",
        payment_intent="pi_2",
        price_id="price_team",
        lines=(line("price_team", quantity=3),),
        lines_complete=True,
    )

    party = recorded(USER, *SESSIONS, shown)

    assert (NoteKind.WITHOUT_LINE_ITEMS, "test:cs_2") not in noted(party)
    assert (NoteKind.WITHOUT_LINE_ITEMS, "test:cs_3") in noted(party)


def test_a_subscription_that_turns_up_late_explains_the_payments_beside_it() -> None:
    named = [bare(day, plan_code="premium") for day in DAYS]
    first = subscription("active", 0, item("price_team"))

    party = recorded(first, *named, subscription("active", 0, stripe_id="sub_2"))

    assert (NoteKind.WITHOUT_GRANT, "pi_1") in noted(party)
