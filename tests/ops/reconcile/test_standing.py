"""The state of a difference after two looks, and the words of its sentence."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from billing.facts import CustomerFields, Fact, Kind, Rank
from billing.ids import CustomerId, EventId, ObjectKey
from ops.reconcile.classify import ObjectDifference, RowChange
from ops.reconcile.differences import DifferenceClass, DifferenceState
from ops.reconcile.standing import SecondLook, digest_of, in_words, restate, undecided
from ops.reconcile.waiting import UnappliedEvent
from tests.ops.reconcile.test_classify import (
    ACCESS,
    LATER,
    NO_ACCESS,
    PAYMENT,
    SUBSCRIPTION,
    changed,
    with_,
)

NOTHING = SecondLook(unapplied={})
WAITING = UnappliedEvent(event_id="evt_1", is_dead=False)
DEAD = UnappliedEvent(event_id="evt_2", is_dead=True)


def difference(*changes: RowChange) -> ObjectDifference:
    return ObjectDifference(
        name=("subscription", "sub_1"),
        classed=DifferenceClass.OTHER_STATUS,
        objects=(("subscription", "sub_1"),),
        changes=changes or (with_(SUBSCRIPTION, status="past_due"),),
    )


@pytest.mark.parametrize(
    ("look", "state", "says"),
    [
        (NOTHING, DifferenceState.STANDS, "status active here, past_due at Stripe"),
        (
            SecondLook(unapplied={"sub_1": WAITING}),
            DifferenceState.MOVING,
            "event evt_1 waits to be applied",
        ),
        (
            SecondLook(unapplied={"sub_1": DEAD}),
            DifferenceState.LEFT,
            "event evt_2 is a dead letter: `paidup dead show evt_2`",
        ),
        (
            SecondLook(changed=frozenset({("subscription", "sub_1")}), unapplied={}),
            DifferenceState.MOVING,
            "it changed at Stripe between the two looks",
        ),
        (SecondLook(unapplied={"sub_9": WAITING}), DifferenceState.STANDS, "past_due at Stripe"),
    ],
)
def test_a_difference_stands_unless_something_explains_it(
    look: SecondLook, state: DifferenceState, says: str
) -> None:
    found = restate(difference(), look)

    assert found.state is state
    assert says in found.says


def test_what_no_row_follows_from_is_left_to_a_person() -> None:
    unknown = ObjectDifference(
        name=("payment_intent", "pi_1"),
        classed=DifferenceClass.UNKNOWN_THERE,
        objects=(("payment_intent", "pi_1"),),
        changes=(),
    )

    found = restate(unknown, NOTHING)

    assert (found.state, found.user_id) == (DifferenceState.LEFT, None)
    assert "compare it with the Dashboard" in found.says


def test_a_difference_is_stored_with_both_sides_as_json() -> None:
    found = restate(difference(with_(SUBSCRIPTION, current_period_end=LATER)), NOTHING)

    assert found.theirs == {"subscriptions sub_1": {"current_period_end": LATER.isoformat()}}
    assert (found.user_id, found.stripe_customer_id) == ("user_1", "cus_1")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed(None, ACCESS), "a repair gives basic of user user_1"),
        (changed(ACCESS, NO_ACCESS), "a repair takes basic of user user_1"),
        (with_(ACCESS, expires_at=LATER), "basic of user user_1: expires at nothing here,"),
        (changed(None, PAYMENT), "payment pi_1 is not here"),
        (changed(PAYMENT, None), "payment pi_1 is here and not at Stripe"),
        (with_(PAYMENT, amount_refunded_minor=100), "amount refunded 0 here, 100 at Stripe"),
        (with_(SUBSCRIPTION, prices=()), "prices price_basic here, nothing at Stripe"),
        (with_(SUBSCRIPTION, cancel_at_period_end=True), "no here, yes at Stripe"),
        (with_(ACCESS, entitlements={"devices": 2}), "devices 1 here, devices 2 at Stripe"),
    ],
)
def test_each_change_is_said_in_words(change: RowChange, words: str) -> None:
    assert words in in_words(difference(change))


def test_an_object_that_could_not_be_compared_is_moving() -> None:
    found = undecided(("charge", "ch_1"))

    assert (found.name, found.state) == ("ch_1", DifferenceState.MOVING)


def test_the_digest_of_facts_is_of_what_they_state_alone() -> None:
    fact = Fact(
        kind=Kind.CUSTOMER,
        object_key=ObjectKey("live:cus_1"),
        event_id=EventId("obs_cus_1_1"),
        event_type="",
        created_at=datetime(2026, 11, 3, tzinfo=UTC),
        rank=Rank.UPDATED,
        fields=CustomerFields(deleted=False),
        before=None,
        customer_id=CustomerId("cus_1"),
        mentions=(),
    )
    again = replace(fact, event_id=EventId("obs_cus_1_2"), created_at=LATER)
    other = replace(fact, fields=CustomerFields(deleted=True))

    assert digest_of([fact]) == digest_of([again]) != digest_of([other])
