"""Without its spare observations an object has the same state, whichever fact comes next."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import Any, TypeVar

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from billing.archiving.observations import observations_around, spare_observations
from billing.facts import (
    OBSERVED,
    CustomerFields,
    EntitlementSummaryFields,
    Fact,
    Fields,
    Item,
    Kind,
    Rank,
    SubscriptionFields,
)
from billing.ids import CustomerId, EventId, Realm
from billing.objects.ordering import order_facts
from billing.objects.store import RealmObjects
from tests.billing.fact_builders import (
    DAY,
    START,
    at,
    charge,
    customer,
    item,
    make_fact,
    naming,
    subscription,
    subscription_fields,
    summary,
    with_fields,
)

T = TypeVar("T")
Draw = st.DrawFn

KINDS = pytest.mark.parametrize(
    ("kind", "stripe_id"),
    [
        (Kind.SUBSCRIPTION, "sub_1"),
        (Kind.CUSTOMER, "cus_1"),
        (Kind.ENTITLEMENT_SUMMARY, "cus_1"),
    ],
)
FIRST: dict[Kind, Fields] = {
    Kind.SUBSCRIPTION: subscription_fields(),
    Kind.CUSTOMER: CustomerFields(deleted=False),
    Kind.ENTITLEMENT_SUMMARY: EntitlementSummaryFields(lookup_keys=(), complete=True),
}
PACES = [0, 0, 0, 0.5, 1, 1, 2]
"""Seconds from one fact to the next: many are of one second, some state a fraction of it."""
STATUSES = ["active", "past_due", "trialing", "unpaid", "canceled"]
WORDS = [naming("usr_1"), naming("usr_2"), ()]
MADE_AT = [None, START, at(-9)]
ITEMS: list[tuple[Item, ...]] = [
    (item("price_premium", lookup_key="gold", id="si_1"),),
    (item("price_premium", lookup_key="gold", id="si_1", quantity=2),),
    (item("price_premium", lookup_key="silver", id="si_1"),),
    (item("price_basic", lookup_key="gold", id="si_1"), item("price_team", id="si_2")),
]


def sometimes(draw: Draw, values: Sequence[T], value: T) -> T:
    """Return any of the values one time in four, else the same value again."""
    return draw(st.sampled_from(values)) if draw(st.integers(0, 3)) == 3 else value


def next_fields(draw: Draw, fields: Fields) -> Fields:
    """Return the fields after an update, which often changes nothing that a state remembers."""
    if isinstance(fields, EntitlementSummaryFields):
        return replace(fields, lookup_keys=draw(st.sampled_from([(), ("a",), ("b", "c")])))
    assert isinstance(fields, SubscriptionFields | CustomerFields)
    metadata = sometimes(draw, WORDS, fields.metadata)
    made_at = sometimes(draw, MADE_AT, fields.own_created_at)
    if isinstance(fields, CustomerFields):
        return replace(
            fields, metadata=metadata, own_created_at=made_at, deleted=draw(st.booleans())
        )
    end = at(draw(st.integers(30, 33)) * DAY)
    items = sometimes(draw, ITEMS, fields.items)
    return replace(
        fields,
        status=sometimes(draw, STATUSES, fields.status),
        items=tuple(replace(each, period_end=end) for each in items),
        metadata=metadata,
        own_created_at=made_at,
    )


@st.composite
def walks(draw: Draw, kind: Kind, stripe_id: str) -> list[Fact]:
    """Draw facts of one object, nearly all as Stripe would send them one after the other.

    Some are missing from what the next one undoes to, some are twins, some were shown by the API.
    """
    seconds, fields, name, facts = 0.0, FIRST[kind], "cus_1", list[Fact]()
    for number in range(draw(st.integers(3, 16))):
        seconds += draw(st.sampled_from(PACES))
        state, fields = fields, next_fields(draw, fields)
        name = sometimes(draw, ["cus_1", "cus_2"], name)
        fact = make_fact(
            kind,
            stripe_id,
            fields,
            seconds,
            event=f"evt_{draw(st.integers(0, 9))}_{number}",
            rank=draw(st.sampled_from([Rank.UPDATED, Rank.UPDATED, Rank.CREATED])),
            before=draw(st.sampled_from([state, state, None, next_fields(draw, state)])),
            customer=name,
        )
        facts += how_it_came(fact, draw(st.integers(0, 7)))
    return facts


def how_it_came(fact: Fact, chance: int) -> list[Fact]:
    """Return the fact, its twin as well, or the same as Stripe's API showed it."""
    if chance == 0:
        return [fact, replace(fact, event_id=EventId(f"{fact.event_id}_again"))]
    if chance == 1:
        shown = EventId(f"obs_{fact.event_id}")
        return [replace(fact, event_id=shown, event_type=OBSERVED, before=None)]
    return [fact]


def state(facts: Iterable[Fact]) -> tuple[RealmObjects, Fact, bool]:
    """Return all that a history leads to, but for the two fields that need every observation."""
    history, objects = order_facts(facts), RealmObjects(realm=Realm("test"))
    newest = history.newest
    objects.put(newest.kind, newest.object_key, history)
    objects.subscriptions = {
        name: replace(each, latest_moment=START, invoices=())
        for name, each in objects.subscriptions.items()
    }
    return objects, newest, history.guessed


def without_spare(facts: Iterable[Fact]) -> list[Fact]:
    """Return the facts that stay loaded, in order."""
    history = order_facts(facts)
    spare = {fact.event_id for fact in spare_observations(history)}
    return [fact for fact in history.facts if fact.event_id not in spare]


def second(fact: Fact) -> int:
    return int(fact.created_at.timestamp())


def is_older(fact: Fact, facts: Iterable[Fact]) -> bool:
    return second(fact) < max(map(second, facts))


def with_older(kept: Iterable[Fact], known: Sequence[Fact], older: Fact) -> list[Fact]:
    """Return the kept facts with an older one and those around it, as they are loaded."""
    return [*kept, *observations_around(known, older.created_at), older]


def in_turn(*statuses: str) -> list[Fact]:
    return [subscription(status, number) for number, status in enumerate(statuses)]


UNDONE = subscription_fields(user="usr_2")
DECIDING = {
    "the first": [
        with_fields(fact, own_created_at=None, metadata=naming("usr_1"))
        for fact in in_turn(*["active"] * 5)
    ],
    "the first past due, as the API showed it": [
        subscription("past_due", 0, event="obs_sub_1_0", type_=OBSERVED),
        *(subscription("past_due", number) for number in range(1, 6)),
    ],
    "an end": in_turn("active", "canceled", *["active"] * 4),
    "the last access": in_turn("unpaid", "unpaid", "trialing", *["unpaid"] * 4),
    "the last not past due": in_turn(*["past_due"] * 3, "unpaid", *["past_due"] * 4),
    "the first past due": in_turn("active", "active", *["past_due"] * 5),
    "the last moment within a second": [
        subscription("active", 0),
        subscription("active", 1.75, event="b"),
        subscription("active", 1.25, event="a"),
        *(subscription("past_due", number) for number in range(2, 6)),
    ],
    "words that only the value before shows": [
        subscription(seconds=number, before=UNDONE if number == 3 else None) for number in range(7)
    ],
    "a customer's words that only the value before shows": [
        customer("usr_1", number, was="usr_2" if number == 3 else None) for number in range(7)
    ],
    "the last features": [summary(*("a",) * (n == 2), seconds=n) for n in range(7)],
}
"""Histories in which the observation that the name means leads to the state."""


@pytest.mark.parametrize("facts", DECIDING.values(), ids=DECIDING.keys())
def test_an_observation_that_decides_alone_is_kept(facts: list[Fact]) -> None:
    kept = without_spare(facts)

    assert len(kept) < len(facts)
    assert state(kept) == state(facts)


@KINDS
@given(st.data())
def test_without_the_spare_ones_all_later_observations_lead_to_the_same_state(
    kind: Kind, stripe_id: str, data: st.DataObject
) -> None:
    walk = data.draw(walks(kind, stripe_id))
    split = data.draw(st.integers(1, len(walk)))
    known, later = walk[:split], walk[split:]
    if later:
        later = data.draw(st.lists(st.sampled_from(later)))

    kept = without_spare(known)

    assert state([*kept, *later]) == state([*known, *later])


@KINDS
@given(st.data())
def test_with_those_around_it_an_older_observation_leads_to_the_same_state(
    kind: Kind, stripe_id: str, data: st.DataObject
) -> None:
    walk = data.draw(walks(kind, stripe_id))
    split = data.draw(st.integers(2, len(walk)))
    older = data.draw(st.sampled_from(walk[:split]))
    known = [fact for fact in walk[:split] if fact is not older]
    assume(is_older(older, known))

    kept = with_older(without_spare(known), known, older)

    assert state(kept) == state([*known, older])
    assert state([*without_spare(kept), *walk[split:]]) == state(walk)


@KINDS
@given(st.data())
def test_observations_may_arrive_in_any_order_and_be_archived_after_each(
    kind: Kind, stripe_id: str, data: st.DataObject
) -> None:
    delays = st.sampled_from([0, 0, 0, 0, 3, 9])
    walk = data.draw(walks(kind, stripe_id))
    arrived = sorted(walk, key=lambda fact: walk.index(fact) + data.draw(delays))
    kept, known = list[Fact](), list[Fact]()
    for fact in arrived:
        older = bool(known) and is_older(fact, known)
        kept = with_older(kept, known, fact) if older else [*kept, fact]
        known.append(fact)
        kept = without_spare(kept) if data.draw(st.booleans()) else kept

        order = [each for each in order_facts(known).facts if each in kept]
        assert list(order_facts(kept).facts) == order
        assert state(kept) == state(known)


def renewals(count: int, *statuses: str) -> list[Fact]:
    """Return the updates of a subscription that renews monthly, in the statuses again and again."""
    return [
        subscription(
            status,
            month * 30 * DAY,
            item(period_end=(month + 1) * 30 * DAY),
            stated={"latest_invoice": f"in_{month}"},
        )
        for month, status in enumerate(islice(cycle(statuses), count))
    ]


@pytest.mark.parametrize("count", [12, 120, 1200])
@pytest.mark.parametrize(
    "statuses",
    [
        ["active"],
        ["past_due"],
        ["active", "active", "past_due", "active", "past_due", "past_due"],
        ["active", *["past_due"] * 2000],
    ],
)
def test_however_often_a_subscription_renews_few_observations_are_kept(
    count: int, statuses: list[str]
) -> None:
    assert len(without_spare(renewals(count, *statuses))) <= 5


REMEMBERED: dict[str, dict[str, Any]] = {
    "metadata": {"metadata": naming("usr_2")},
    "its own second": {"own_created_at": START},
    "the id of an item": {"items": (item(id="si_2"),)},
    "a price": {"items": (item("price_basic"),)},
    "the lookup key of a price": {"items": (item(lookup_key="silver"),)},
    "the product of a price": {"items": (item(product="prod_2"),)},
    "a quantity": {"items": (item(quantity=2),)},
}


@pytest.mark.parametrize("change", REMEMBERED.values(), ids=REMEMBERED.keys())
def test_a_change_of_what_a_subscription_remembers_is_kept(change: dict[str, Any]) -> None:
    facts = renewals(40, "active")
    facts[20:] = [with_fields(fact, **change) for fact in facts[20:]]

    assert without_spare(facts) == [facts[0], facts[20], facts[38], facts[39]]


@pytest.mark.parametrize("name", ["metadata", "its own second"])
def test_a_change_of_what_a_customer_remembers_is_kept(name: str) -> None:
    facts = [customer("usr_1", number) for number in range(40)]
    facts[20:] = [with_fields(fact, **REMEMBERED[name]) for fact in facts[20:]]

    assert without_spare(facts) == [facts[0], facts[20], facts[38], facts[39]]


@pytest.mark.parametrize(
    "facts", [renewals(40, "active"), [summary("a", seconds=number) for number in range(40)]]
)
def test_each_customer_of_an_object_is_kept(facts: list[Fact]) -> None:
    other = [replace(fact, customer_id=CustomerId("cus_2")) for fact in facts[20:30]]
    facts = [*facts[:20], *other, *facts[30:]]

    assert without_spare(facts) == [facts[n] for n in (0, 20, 30, 38, 39)]


def test_two_needed_observations_of_one_second_keep_all_of_it_and_the_one_before() -> None:
    facts = [
        subscription(seconds=0, event="a"),
        subscription(seconds=1, event="b"),
        subscription(seconds=2, event="c"),
        subscription(seconds=3, event="d", user="usr_2", before=subscription_fields()),
        subscription(seconds=3, event="e", user="usr_3", before=subscription_fields(user="usr_2")),
        subscription(seconds=3, event="f", user="usr_3", before=subscription_fields(user="usr_3")),
        *(subscription(seconds=4 + n, event=f"g{n}", user="usr_3") for n in range(4)),
    ]

    assert [fact.event_id for fact in without_spare(facts)] == [*"acdef", "g2", "g3"]


def test_seconds_with_two_observations_each_are_spare_as_well() -> None:
    pairs = [subscription(seconds=n, event=f"{name}{n}") for n in range(200) for name in "ab"]

    assert len(without_spare(pairs)) <= 5


@pytest.mark.parametrize(
    "odd",
    [
        subscription(seconds=500, stated={"test_clock": "clock_1"}),
        subscription(seconds=500, stated={"items_complete": False}),
    ],
)
def test_with_a_test_clock_or_a_cut_list_nothing_of_a_subscription_is_spare(odd: Fact) -> None:
    facts = [subscription(seconds=n) for n in range(40)]

    assert spare_observations(order_facts(facts))
    assert not spare_observations(order_facts([*facts, odd]))


def test_with_a_test_clock_or_a_cut_list_nothing_of_other_objects_is_spare_either() -> None:
    customers = [customer("usr_1", n, clock="clock_1") for n in range(9)]
    summaries = [summary("a", seconds=n, complete=n != 5) for n in range(9)]

    assert not spare_observations(order_facts(customers))
    assert not spare_observations(order_facts(summaries))


def test_of_kinds_with_few_observations_none_is_spare() -> None:
    assert not spare_observations(order_facts([charge(n) for n in range(9)]))


ONE_OR_TWO = [1, 3, 3.5, 4, 6, 6, 8, 8.5, 9]
"""Moments of facts: two are in the seconds 3, 6 and 8, and one is in 1, 4 and 9."""


@pytest.mark.parametrize(
    ("moments", "older", "around"),
    [
        (ONE_OR_TWO, 0, [1]),
        (ONE_OR_TWO, 2, [1, 3, 3.5, 4]),
        (ONE_OR_TWO, 3, [1, 3, 3.5, 4]),
        (ONE_OR_TWO, 4, ONE_OR_TWO),
        (ONE_OR_TWO, 7, [4, 6, 6, 8, 8.5, 9]),
        (ONE_OR_TWO, 8.9, [4, 6, 6, 8, 8.5, 9]),
        (ONE_OR_TWO, 12, [9]),
        ([3, 3.5, 6, 6], 1, [3, 3.5, 6, 6]),
        ([3, 3.5, 6, 6], 7, [3, 3.5, 6, 6]),
        ([], 5, []),
    ],
)
def test_those_around_a_second_reach_to_the_next_seconds_with_one_observation(
    moments: list[float], older: float, around: list[float]
) -> None:
    facts = [subscription(seconds=each, event=str(n)) for n, each in enumerate(moments)]

    found = observations_around(facts, at(older))

    assert [fact.created_at for fact in found] == [at(each) for each in around]
