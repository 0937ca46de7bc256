"""Many facts of one second: as many links as any order has, found without comparing orders."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, permutations
from random import Random
from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st

from billing.facts import CustomerFields, Fact, Fields, Rank, SubscriptionFields
from billing.ids import EventId
from billing.objects.ordering import MAX_EXACT_FACTS, order_facts
from billing.objects.trails import order_by_trails
from tests.billing.fact_builders import customer, naming, subscription, subscription_fields

MANY = MAX_EXACT_FACTS + 3


def state(user: str) -> SubscriptionFields:
    return subscription_fields("active", user)


def change(event: str, there: str, here: str, *, type_: str = "some.event") -> Fact:
    return subscription(event=event, user=here, before=state(there), type_=type_)


def shows(event: str, user: str, *, rank: Rank = Rank.UPDATED, seconds: float = 0) -> Fact:
    """Return a fact that does not say what was before."""
    return subscription("active", seconds, event=event, user=user, rank=rank)


def steps(*users: str) -> list[Fact]:
    """Return one change after the other; their ids are in no order."""
    return [
        change(f"{37 * number % 97:02}", *pair) for number, pair in enumerate(pairwise(users), 1)
    ]


def chain() -> list[Fact]:
    """Return changes of which each leads to a state of its own, from ``usr_0``."""
    return steps(*(f"usr_{number}" for number in range(MANY + 1)))


def links(start: Fields | None, ordered: Sequence[Fact]) -> int:
    states = [start, *(fact.fields for fact in ordered)]
    following = zip(states, ordered, strict=False)
    return sum(fact.before is not None and fact.before == there for there, fact in following)


def events(facts: Sequence[Fact]) -> list[str]:
    """Return the order of facts, which must be the same in another order of arrival."""
    ordered = order_facts(facts).facts
    assert order_facts(reversed(facts)).facts == ordered
    return ids(ordered)


def ids(facts: Sequence[Fact]) -> list[str]:
    return [fact.event_id for fact in facts]


BEFORE = shows("before", "usr_0", seconds=-5)
USERS = st.sampled_from([f"usr_{number}" for number in range(4)])
CHANGES = st.tuples(USERS, USERS)


@given(
    st.lists(CHANGES, min_size=1, max_size=4),
    st.lists(USERS, max_size=2),
    st.none() | USERS,
    st.permutations(range(6)),
)
def test_no_order_has_more_links(
    changes: list[tuple[str, str]], shown: list[str], start: str | None, names: list[int]
) -> None:
    """Compare with all orders of a few facts, of which no two are twins."""
    facts = [
        *(change("", *pair, type_=str(number)) for number, pair in enumerate(changes)),
        *(shows("", user) for user in shown),
    ]
    named = [replace(fact, event_id=EventId(str(n))) for fact, n in zip(facts, names, strict=False)]
    begin = state(start) if start else None
    most = max(links(begin, order) for order in permutations(named))

    by_weight = sorted(named, key=lambda fact: fact.event_id, reverse=True)
    ordered, guessed = order_by_trails(begin, by_weight)

    ends = {order[-1].fields for order in permutations(named) if links(begin, order) == most}
    assert sorted(ids(ordered)) == sorted(ids(named))
    assert links(begin, ordered) == most
    assert guessed or ends == {ordered[-1].fields}


@given(
    st.lists(USERS, min_size=MANY, max_size=40),
    st.randoms(use_true_random=False),
)
def test_however_often_it_changes_within_a_second_the_last_state_is_found(
    users: list[str], chance: Random
) -> None:
    """Follow any order in which each change undoes to the one before: all end in one state."""
    walk = steps(*users)
    before = shows("before", users[0], seconds=-5)

    history = order_facts(chance.sample([before, *walk], len(walk) + 1))

    assert history.newest.fields == walk[-1].fields
    assert not history.guessed
    assert all(b.before == a.fields for a, b in pairwise(history.facts))


@given(st.permutations(chain()), st.integers(0, MANY - 1))
def test_a_chain_of_states_that_all_differ_comes_out_as_it_was(
    arrived: list[Fact], repeated: int
) -> None:
    history = order_facts([*arrived, BEFORE, arrived[repeated]])

    assert list(history.facts) == [BEFORE, *chain()]
    assert not history.guessed


def test_what_a_creation_begins_is_no_guess() -> None:
    created = shows("99", "usr_0", rank=Rank.CREATED)

    assert events([created, *chain()]) == ["99", *ids(chain())]
    assert not order_facts([created, *chain()]).guessed


def test_a_creation_begins_a_ring() -> None:
    """Let no lighter event open a ring that leads back to the creation."""
    created = shows("99", "usr_11", rank=Rank.CREATED)
    ring = steps("usr_11", *(f"usr_{number}" for number in range(MANY)))

    assert events([*ring, created]) == ["99", *ids(ring)]
    assert not order_facts([*ring, created]).guessed


def test_a_way_out_and_back_comes_before_a_change_that_nothing_follows() -> None:
    walk = steps(*["usr_0", "usr_1"] * (MANY // 2), "usr_0")
    last = change("99", "usr_0", "usr_2")

    assert max(ids(walk)) < last.event_id
    assert events([BEFORE, *walk, last])[-1] == "99"
    assert not order_facts([BEFORE, *walk, last]).guessed


def test_events_that_each_came_twice_stand_beside_their_twins() -> None:
    twins = [replace(fact, event_id=EventId(f"{fact.event_id}t")) for fact in chain()]
    pairs = [[fact.event_id, f"{fact.event_id}t"] for fact in chain()]

    found = events([BEFORE, *chain(), *twins])

    assert [sorted(pair) for pair in zip(found[1::2], found[2::2], strict=True)] == pairs
    assert not order_facts([BEFORE, *chain(), *twins]).guessed


def test_twins_in_a_chain_whose_beginning_is_unknown_stand_side_by_side() -> None:
    fifth, twin = (
        replace(chain()[4], event_id=EventId("zz")),
        replace(chain()[4], event_id=EventId("zy")),
    )
    others = [*ids(chain()[:4]), "zz", "zy", *ids(chain()[5:])]

    assert max(ids(chain())) < "zy"
    assert events([*chain()[:4], fifth, twin, *chain()[5:]]) == others


def test_what_the_api_showed_goes_where_the_object_was_in_that_state() -> None:
    shown = shows("obs_sub_1_0", "usr_3")
    expected = ["before", *ids(chain())]

    assert events([BEFORE, *chain(), shown]) == [*expected[:4], "obs_sub_1_0", *expected[4:]]
    assert order_facts([BEFORE, *chain(), shown]).guessed


def test_snapshots_of_one_state_are_ordered_by_their_weight() -> None:
    shown = [shows("zy", "usr_3"), shows("zz", "usr_3")]
    expected = ["before", *ids(chain())]

    assert events([BEFORE, *chain(), *shown]) == [*expected[:4], "zz", "zy", *expected[4:]]


def test_what_the_api_showed_opens_a_ring() -> None:
    shown = shows("obs_sub_1_0", "usr_5")
    ring = steps("usr_5", *(f"usr_{number}" for number in range(6, MANY + 5)), "usr_5")

    assert ring[0].event_id < max(ids(ring))
    assert events([shown, *ring]) == ["obs_sub_1_0", *ids(ring)]
    assert order_facts([shown, *ring]).guessed


def test_what_the_api_showed_opens_what_follows_it() -> None:
    shown = shows("obs_sub_1_0", "usr_0")

    assert events([shown, *chain()]) == ["obs_sub_1_0", *ids(chain())]
    assert order_facts([shown, *chain()]).guessed


def test_a_snapshot_of_a_state_that_no_change_leads_to_comes_after_them() -> None:
    shown = shows("obs_sub_1_0", "usr_a")

    assert events([BEFORE, *chain(), shown])[-1] == "obs_sub_1_0"
    assert order_facts([BEFORE, *chain(), shown]).guessed


def test_the_event_type_places_a_snapshot_that_says_nothing_of_before() -> None:
    """Place a resumption last, although a change leads from the state that it shows."""
    resumed = shows("98", "usr_3", rank=Rank.PAUSED_OR_RESUMED)

    assert events([BEFORE, *chain(), resumed])[-1] == "98"
    assert not order_facts([BEFORE, *chain(), resumed]).guessed


def test_of_two_chains_the_one_whose_end_weighs_more_comes_last() -> None:
    """Leave what grants less as the state, as up to nine facts do."""
    first = change("zz", "usr_a", "usr_b")
    end = subscription("unpaid", event="zy", before=state("usr_b"))

    assert max(ids(chain())) < "zy"
    assert events([*chain(), first, end]) == [*ids(chain()), "zz", "zy"]
    assert order_facts([*chain(), first, end]).guessed


class CountedFields(CustomerFields):
    """A customer that counts how often it is compared or hashed."""

    steps: ClassVar[int] = 0

    def __eq__(self, other: object) -> bool:
        CountedFields.steps += 1
        return super().__eq__(other)

    def __hash__(self) -> int:
        CountedFields.steps += 1
        return super().__hash__()


def steps_to_order(count: int) -> int:
    """Return how many comparisons and hashes of states it takes to order a chain."""

    def counted(number: int) -> CountedFields:
        return CountedFields(metadata=naming(f"usr_{number}"), deleted=False)

    facts = [
        replace(
            customer(None, event=f"{7919 * number % 10007:05}"),
            fields=counted(number + 1),
            before=counted(number),
        )
        for number in range(count)
    ]
    CountedFields.steps = 0
    assert list(order_facts(facts).facts) == facts
    return CountedFields.steps


def test_twice_as_many_facts_of_a_second_take_twice_as_many_steps() -> None:
    assert 0 < steps_to_order(800) <= 2 * steps_to_order(400) + 10
