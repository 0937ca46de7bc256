"""Without its spare observations an object leads to the same rows, whichever fact comes next."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import cycle, groupby, islice
from typing import Any, TypeVar

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from billing.archiving.observations import observations_around, spare_observations
from billing.catalogue import Identity, read_catalogue
from billing.facts import (
    OBSERVED,
    CustomerFields,
    EntitlementSummaryFields,
    Fact,
    Fields,
    Item,
    Kind,
    Metadata,
    Rank,
    SubscriptionFields,
)
from billing.ids import CustomerId, EventId, ObjectKey, Realm
from billing.objects.customers import CustomerState
from billing.objects.ordering import order_facts
from billing.objects.store import RealmObjects
from billing.objects.subscriptions import ItemRun, SubscriptionState
from billing.projection.party import project
from billing.rows import Projection
from tests.billing.fact_builders import (
    CATALOGUE,
    DAY,
    START,
    at,
    charge,
    checkout,
    customer,
    intent,
    invoice,
    item,
    make_fact,
    naming,
    open_invoice,
    refund,
    subscribed,
    subscription,
    subscription_fields,
    summary,
    with_fields,
    with_policy,
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
IDENTITY = Identity(metadata_keys=("account", "user_id"))
WORDS: list[Metadata] = [
    naming("usr_1"),
    naming("usr_2"),
    (("account", "usr_1"), *naming("usr_2")),
    (("plan_code", "team"), *naming("usr_1")),
    (),
]
MADE_AT = [None, START, at(-9)]
ITEMS: list[tuple[Item, ...]] = [
    (item("price_premium", lookup_key="gold", id="si_1"),),
    (item("price_premium", lookup_key="silver", id="si_1"),),
    (item("price_basic", lookup_key="gold", id="si_1"), item("price_team", id="si_2")),
    (item("price_team", id="si_1"),),
    (item("price_new", id="si_1"), item("price_usage", id="si_3")),
    (item("price_new"), item("price_team", id="si_2")),
    (item("price_newer"),),
]
SEATS = [1, 2, 3, 5, 0]


def sometimes(draw: Draw, values: Sequence[T], value: T) -> T:
    """Return any of the values one time in four, else the same value again."""
    return draw(st.sampled_from(values)) if draw(st.integers(0, 3)) == 3 else value


def next_fields(draw: Draw, fields: Fields) -> Fields:
    """Return the fields after an update, which often changes nothing that a state remembers."""
    if isinstance(fields, EntitlementSummaryFields):
        return replace(fields, lookup_keys=draw(st.sampled_from([(), ("a",), ("b", "c")])))
    assert isinstance(fields, SubscriptionFields | CustomerFields)
    metadata = sometimes(draw, WORDS, tuple(each for each in fields.metadata if each[0] != "n"))
    metadata = (*metadata, *sometimes(draw, [(("n", "1"),), (("n", "2"),)], ()))
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
        items=tuple(
            replace(each, period_end=end, quantity=sometimes(draw, SEATS, each.quantity))
            for each in items
        ),
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


def state(facts: Iterable[Fact]) -> tuple[object, Fact, bool]:
    """Return all of a history that rows can depend on."""
    history, objects = order_facts(facts), RealmObjects(realm=Realm("test"))
    newest = history.newest
    objects.put(newest.kind, newest.object_key, history)
    counting = [
        *map(what_counts_of_subscription, objects.subscriptions.values()),
        *map(what_counts_of_customer, objects.customers.values()),
    ]
    objects.subscriptions, objects.customers = {}, {}
    return (counting, objects), newest, history.guessed


def what_counts_of_subscription(state: SubscriptionState) -> object:
    """Return the state with the users that it names and the plans that its items stand for.

    Left out are the two fields that need every observation.
    """
    words, runs = state.user_statements, state.item_runs
    paid = None if state.paid_run is None else runs[state.paid_run]
    rest = replace(
        state,
        user_statements=replace(words, changes=()),
        item_runs=(),
        present_run=0,
        paid_run=None,
        latest_moment=START,
        invoices=(),
    )
    return (
        rest,
        words.by_metadata(IDENTITY),
        held(runs),
        runs[state.present_run][1:],
        paid and paid[1:],
    )


def what_counts_of_customer(state: CustomerState) -> object:
    words = state.user_statements
    rest = replace(state, user_statements=replace(words, changes=()))
    return rest, words.by_metadata(IDENTITY)


def held(runs: Iterable[ItemRun]) -> object:
    """Return what was sold, with its first times and its last quantities."""
    alike = (list(each) for _, each in groupby(runs, sold))
    return [
        (sold(each[0]), each[0].at, min(run.at for run in each), each[-1][1:]) for each in alike
    ]


def sold(run: ItemRun) -> object:
    return [(each.id, each.names, each.quantity == 0) for each in run.items], run.plan_code


def without_spare(facts: Iterable[Fact]) -> list[Fact]:
    """Return the facts that stay loaded, in order."""
    history = order_facts(facts)
    spare = {fact.event_id for fact in spare_observations(history, IDENTITY)}
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


PLANS: dict[str, dict[str, Any]] = {
    "premium": {"prices": ["gold"], "grace_days": 7, "features": {"max_devices": 5}},
    "basic": {"prices": ["price_basic", "silver"], "features": {"max_devices": 1}},
    "team": {"prices": ["price_team"], "grace_days": 1, "per_seat": ["seats"]},
    "more": {"prices": ["price_new"], "per_seat": ["max_devices", "seats"]},
}
WITH_IDENTITY = replace(CATALOGUE, identity=IDENTITY)
OTHER_PLANS = replace(read_catalogue({"plans": PLANS}), identity=IDENTITY)
CATALOGUES = {
    "all prices are known": OTHER_PLANS,
    "an unknown price keeps": WITH_IDENTITY,
    "an unknown price ends": replace(
        WITH_IDENTITY, policy=with_policy({"unknown_price": "end"}).policy
    ),
    "money ends": replace(
        WITH_IDENTITY, policy=with_policy({"subscription_refund_full": "end"}).policy
    ),
    "a price grants nothing": replace(
        read_catalogue({"plans": PLANS, "catalogue": {"nothing": ["price_usage"]}}),
        identity=IDENTITY,
    ),
    "former plans": WITH_IDENTITY.with_former([OTHER_PLANS]),
    "only former plans": replace(read_catalogue({}), identity=IDENTITY).with_former(
        [WITH_IDENTITY, OTHER_PLANS]
    ),
    "no price was ever known": replace(
        read_catalogue({"plans": {"team": {**PLANS["team"], "prices": ["price_x"]}}}),
        identity=IDENTITY,
    ),
}


@st.composite
def others(draw: Draw) -> list[Fact]:
    """Draw facts of other objects that read the past of a subscription, at any moment of it."""
    moments = st.integers(-1, 20)
    known = [
        open_invoice(draw(moments), stripe_id="in_2", payment_failed=True),
        intent(seconds=draw(moments), stripe_id="pi_2", plan_code="premium"),
        intent(seconds=draw(moments), stripe_id="pi_3", plan_code="team"),
        customer(draw(st.sampled_from(["usr_1", "usr_3"])), draw(moments)),
        subscribed(draw(moments), price_id="price_team"),
        subscription("past_due", draw(moments), item("price_basic"), stripe_id="sub_2"),
        invoice(draw(moments), payment_refs=("pi_1",)),
        intent(seconds=draw(moments)),
        refund(seconds=draw(moments)),
        summary("a", seconds=draw(moments)),
        checkout(draw(moments), stripe_id="cs_2", payment_intent="pi_4"),
    ]
    return draw(st.lists(st.sampled_from(known), unique=True))


def projections(facts: Iterable[Fact], now: datetime) -> dict[str, Projection]:
    known = list(facts)
    return {name: project(known, each, now) for name, each in CATALOGUES.items()}


@KINDS
@given(st.data())
def test_whatever_else_is_known_few_observations_are_projected_like_all(
    kind: Kind, stripe_id: str, data: st.DataObject
) -> None:
    arrived, kept = data.draw(walks(kind, stripe_id)), list[Fact]()
    beside = [each for each in data.draw(others()) if each.object_key != arrived[0].object_key]
    now = at(data.draw(st.sampled_from([5, 2 * DAY, 31 * DAY])))
    known = list[Fact]()
    for fact in data.draw(st.permutations(arrived)) if data.draw(st.booleans()) else arrived:
        older = bool(known) and is_older(fact, known)
        kept = with_older(kept, known, fact) if older else [*kept, fact]
        known.append(fact)
        kept = without_spare(kept) if data.draw(st.booleans()) else kept

    assert projections([*kept, *beside], now) == projections([*known, *beside], now)


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


def counting(number: int, user: str) -> Metadata:
    """Return metadata in which an application counts its updates."""
    return (("change", str(number)), *naming(user))


@pytest.mark.parametrize("count", [12, 120, 1200])
def test_counters_in_metadata_and_numbers_of_seats_keep_few_observations(count: int) -> None:
    facts, before = list[Fact](), None
    for number in range(count):
        seats = item("price_team", quantity=1 + number // 10, id="si_1")
        stated = {"metadata": counting(number, "usr_1")}
        facts.append(subscription("active", number, seats, stated=stated, before=before))
        before = facts[-1].fields

    kept = without_spare(facts)

    assert len(kept) <= 5
    assert projections(kept, at(DAY)) == projections(facts, at(DAY))


def test_a_counter_in_the_metadata_of_a_customer_keeps_few_observations() -> None:
    facts = [with_fields(customer("usr_1", n), metadata=counting(n, "usr_1")) for n in range(40)]

    assert without_spare(facts) == [facts[0], facts[38], facts[39]]


def test_of_many_numbers_of_seats_the_first_and_the_last_are_kept() -> None:
    seats = [1, 1, 2, 3, 3, 2, 4, 4, 4, 4]
    facts = [subscription("active", n, item(quantity=each)) for n, each in enumerate(seats)]

    assert without_spare(facts) == [facts[n] for n in (0, 6, 8, 9)]


def test_no_seat_at_all_is_kept_as_a_change_of_what_is_sold() -> None:
    seats = [1, 2, 0, 0, 3, 4, 5, 5, 5]
    facts = [subscription("active", n, item(quantity=each)) for n, each in enumerate(seats)]

    assert without_spare(facts) == [facts[n] for n in (0, 1, 2, 4, 6, 7, 8)]


def test_numbers_of_seats_within_the_first_second_of_a_plan_are_all_kept() -> None:
    facts = [
        subscription("active", seconds, item(quantity=seats), event=event)
        for seconds, seats, event in [(0.75, 3, "c"), (0.5, 2, "b"), (0.25, 1, "a")]
    ]
    later = [subscription("active", 1 + n, item(quantity=9), event=f"d{n}") for n in range(9)]

    kept = without_spare([*facts, *later])

    assert [each.event_id for each in kept] == [*"cba", "d0", "d7", "d8"]
    assert projections(kept, at(DAY)) == projections([*facts, *later], at(DAY))


def test_the_last_observation_that_names_an_invoice_is_kept_for_those_that_count() -> None:
    facts = [
        subscription("active", n, stated={"latest_invoice": f"in_{n // 5}"}) for n in range(20)
    ]
    history, count = order_facts(facts), [ObjectKey(f"test:in_{n}") for n in (0, 2, 7)]

    gone = spare_observations(history, IDENTITY, count)

    assert [fact for fact in facts if fact not in gone] == [facts[n] for n in (0, 4, 14, 18, 19)]


REMEMBERED: dict[str, dict[str, Any]] = {
    "metadata": {"metadata": naming("usr_2")},
    "a plan in metadata": {"metadata": (("plan_code", "team"), *naming("usr_1"))},
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

    assert spare_observations(order_facts(facts), IDENTITY)
    assert not spare_observations(order_facts([*facts, odd]), IDENTITY)


def test_with_a_test_clock_or_a_cut_list_nothing_of_other_objects_is_spare_either() -> None:
    customers = [customer("usr_1", n, clock="clock_1") for n in range(9)]
    summaries = [summary("a", seconds=n, complete=n != 5) for n in range(9)]

    assert not spare_observations(order_facts(customers), IDENTITY)
    assert not spare_observations(order_facts(summaries), IDENTITY)


def test_of_kinds_with_few_observations_none_is_spare() -> None:
    assert not spare_observations(order_facts([charge(n) for n in range(9)]), IDENTITY)


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
