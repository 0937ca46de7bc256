"""Facts of one object have one order, decided by their contents."""

from dataclasses import replace
from itertools import pairwise, permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.facts import Fact, Rank
from billing.ids import EventId
from billing.objects.ordering import MAX_EXACT_FACTS, order_facts, restrictiveness
from tests.billing.fact_builders import (
    charge,
    checkout,
    credit_note,
    customer,
    dispute,
    intent,
    invoice,
    invoice_payment,
    item,
    link,
    refund,
    subscription,
    subscription_fields,
    summary,
)


def events(*facts: Fact) -> list[str]:
    return [fact.event_id for fact in order_facts(facts).facts]


def newest(*facts: Fact) -> str:
    found = {order_facts(arranged).newest.event_id for arranged in permutations(facts)}
    assert len(found) == 1
    return found.pop()


def step(event: str, before: str, after: str, seconds: float = 0) -> Fact:
    """Return an update that changes the status."""
    return subscription(after, seconds, event=event, before=subscription_fields(before))


def test_facts_are_ordered_by_the_second_stripe_took_them() -> None:
    late, early = subscription("active", 9, event="b"), subscription("past_due", 5, event="a")

    assert events(late, early) == ["a", "b"]
    assert order_facts([late, early]).newest is late


def test_repetition_adds_nothing() -> None:
    once = subscription("active", 9)

    assert order_facts([once, once]).facts == (once,)


def test_created_never_comes_after_an_update_of_its_second() -> None:
    created = subscription("incomplete", event="a", rank=Rank.CREATED)
    updated = subscription("active", event="z")

    history = order_facts([updated, created])

    assert history.newest is updated
    assert not history.guessed


def test_deleted_comes_last_in_its_second() -> None:
    facts = [customer("usr_2", event="a"), customer(None, event="z", rank=Rank.DELETED)]

    assert newest(*facts) == "z"


def test_what_the_api_showed_comes_before_the_updates_of_its_second() -> None:
    """Let a change win that may have been made while the request was under way, as a guess."""
    shown, changed = subscription("unpaid", event="obs_sub_1_0"), subscription("active", event="z")

    assert newest(shown, changed) == "z"
    assert order_facts([shown, changed]).guessed


def test_what_the_api_showed_comes_after_the_creation_of_its_second() -> None:
    created = subscription("incomplete", event="a", rank=Rank.CREATED)
    shown = subscription("active", event="obs_sub_1_0")

    assert newest(created, shown) == "obs_sub_1_0"
    assert not order_facts([shown, created]).guessed


def test_a_change_of_what_the_api_showed_follows_it_without_a_guess() -> None:
    shown, changed = subscription("active", event="obs_sub_1_0"), step("z", "active", "unpaid")

    assert newest(shown, changed) == "z"
    assert not order_facts([shown, changed]).guessed


def test_an_update_follows_the_state_that_it_undoes_to() -> None:
    first = step("z", "incomplete", "active")
    second = step("a", "active", "past_due")
    third = step("m", "past_due", "active")
    created = subscription("incomplete", event="q", rank=Rank.CREATED)

    for arranged in permutations([created, first, second, third]):
        history = order_facts(arranged)
        assert [fact.event_id for fact in history.facts] == ["q", "z", "a", "m"]
        assert not history.guessed


def test_toggles_within_a_second_start_from_the_state_before_it() -> None:
    before = subscription("active", -5, event="0")
    there, back = step("a", "active", "paused"), step("b", "paused", "active")

    for arranged in permutations([before, there, back]):
        assert [fact.event_id for fact in order_facts(arranged).facts] == ["0", "a", "b"]
        assert not order_facts(arranged).guessed


WALKS = st.lists(
    st.sampled_from(["active", "paused", "past_due", "unpaid"]),
    min_size=2,
    max_size=MAX_EXACT_FACTS + 1,
)


@given(WALKS, st.randoms(use_true_random=False))
def test_however_often_it_toggles_within_a_second_the_last_state_is_found(
    statuses: list[str], chance: Random
) -> None:
    """Follow any order in which each update undoes to the one before: all end in one state."""
    before = subscription(statuses[0], -5, event="before")
    names = chance.sample("abcdefghi", len(statuses) - 1)
    walk = zip(names, pairwise(statuses), strict=True)
    steps = [step(name, there, here) for name, (there, here) in walk]

    history = order_facts(chance.sample([before, *steps], len(steps) + 1))

    assert history.newest.fields == steps[-1].fields
    assert not history.guessed
    assert all(b.before == a.fields for a, b in pairwise(history.facts))


def test_toggles_without_a_state_before_them_are_guessed_to_grant_less() -> None:
    there, back = step("a", "active", "paused"), step("b", "paused", "active")

    assert newest(there, back) == "a"
    assert order_facts([there, back]).guessed


def test_unlinked_facts_of_a_second_are_guessed_to_grant_less() -> None:
    facts = [subscription("active", event="a"), subscription("unpaid", event="b")]

    assert newest(*facts) == "b"
    assert order_facts(facts).guessed


def test_a_guess_in_an_older_second_is_none_any_more() -> None:
    facts = [subscription("active", event="a"), subscription("unpaid", event="b")]

    assert not order_facts([*facts, subscription("active", 1)]).guessed


def test_between_equal_grants_the_lower_event_id_stands() -> None:
    facts = [
        subscription("unpaid", event="b", user="usr_1"),
        subscription("unpaid", event="a", user="usr_2"),
    ]

    assert newest(*facts) == "a"
    assert order_facts(facts).guessed


def test_twin_events_that_say_the_same_are_no_guess() -> None:
    assert not order_facts([subscription(event="a"), subscription(event="b")]).guessed


def test_a_twin_of_a_change_within_a_second_stands_beside_it_and_ends_nothing() -> None:
    before = subscription("past_due", -5, event="0")
    there, twin = step("c", "past_due", "unpaid"), step("a", "past_due", "unpaid")
    onwards = step("b", "unpaid", "active")

    for arranged in permutations([before, there, twin, onwards]):
        history = order_facts(arranged)
        assert [fact.event_id for fact in history.facts] == ["0", "c", "a", "b"]
        assert not history.guessed


def test_a_change_that_is_made_twice_within_a_second_is_no_twin() -> None:
    before = subscription("active", -5, event="0")
    there, back = step("a", "active", "paused"), step("b", "paused", "active")
    again = step("c", "active", "paused")

    for arranged in permutations([before, there, back, again]):
        history = order_facts(arranged)
        assert history.newest.fields == again.fields
        assert not history.guessed


def test_only_events_of_one_type_that_say_what_was_before_are_twins() -> None:
    before = subscription("active", -5, event="0")
    there, onwards = step("c", "active", "unpaid"), step("b", "unpaid", "past_due")
    other = replace(there, event_id=EventId("a"), event_type="another.type")
    without = replace(there, event_id=EventId("a"), before=None)

    assert newest(before, there, onwards, other) == "a"
    assert newest(before, there, onwards, without) == "a"


@pytest.mark.parametrize("end", ["canceled", "incomplete_expired"])
def test_an_ended_subscription_stays_ended_despite_newer_facts(end: str) -> None:
    history = order_facts([subscription(end, 1, event="end"), subscription("active", 2)])

    assert history.newest.event_id == "end"
    assert not history.guessed


def test_of_two_ends_the_newest_counts() -> None:
    ends = [
        subscription("canceled", 1, event="a"),
        subscription("canceled", 2, event="b", user=None),
    ]

    assert newest(*ends, subscription("active", 3)) == "b"


def test_two_ends_of_one_second_are_a_guess() -> None:
    ends = [
        subscription("canceled", 1, event="a"),
        subscription("canceled", 1, event="b", user=None),
    ]

    assert order_facts([*ends, subscription("active", 1, event="c")]).guessed


def handed_on(first: int, count: int) -> list[Fact]:
    """Return one second in which the user changes again and again."""
    return [
        subscription(
            event=f"{97 * number % 100:02}",
            user=f"usr_{number + 1}",
            before=subscription_fields("active", f"usr_{number}"),
        )
        for number in range(first, first + count)
    ]


def test_a_second_with_more_facts_than_can_be_tried_still_follows_its_links() -> None:
    before = subscription("active", -5, event="before")
    chain = handed_on(1, MAX_EXACT_FACTS + 3)
    expected = ["before", *(fact.event_id for fact in chain)]

    assert events(before, *chain) == expected
    assert events(*reversed(chain), before) == expected
    assert not order_facts([before, *chain]).guessed


def test_a_second_with_many_facts_and_no_beginning_opens_with_one_that_follows_none() -> None:
    chain = handed_on(1, MAX_EXACT_FACTS + 3)

    assert events(*reversed(chain)) == [fact.event_id for fact in chain]
    assert order_facts(chain).guessed


MANY_STATUSES = st.lists(
    st.tuples(*[st.sampled_from([None, "active", "paused", "past_due", "unpaid"])] * 2),
    min_size=MAX_EXACT_FACTS + 1,
    max_size=MAX_EXACT_FACTS + 8,
)


@given(MANY_STATUSES, st.randoms(use_true_random=False))
def test_more_facts_than_can_be_tried_have_one_history_whatever_arrives_first(
    statuses: list[tuple[str | None, str | None]], chance: Random
) -> None:
    """Try chains with forks, rings and gaps, also from a state before and with API observations."""
    names = chance.sample([f"{number:02}" for number in range(99)], len(statuses))
    facts = [
        subscription(
            after or "active",
            event=name,
            rank=chance.choice(list(Rank)),
            before=subscription_fields(before) if before else None,
        )
        for name, (before, after) in zip(names, statuses, strict=True)
    ]
    facts += [subscription("active", -5, event="x"), subscription("unpaid", event="obs_sub_1_0")]

    found = order_facts(facts)

    for _ in range(4):
        arrived = chance.sample(facts, len(facts)) + chance.choices(facts, k=3)
        assert order_facts(arrived) == found


def test_a_second_with_many_facts_in_a_ring_is_a_guess_all_the_same_each_time() -> None:
    size = MAX_EXACT_FACTS + 3
    ring = [
        subscription(
            event=f"{number:02}",
            user=f"usr_{number + 1}",
            before=subscription_fields("active", f"usr_{(number + size - 1) % size + 1}"),
        )
        for number in range(size)
    ]

    assert events(*ring) == events(*reversed(ring))
    assert events(*ring)[0] == f"{size - 1:02}"
    assert order_facts(ring).guessed


def test_a_thin_event_of_the_same_second_does_not_win_by_its_milliseconds() -> None:
    facts = [subscription("active", 0.5, event="a"), subscription("unpaid", 0, event="b")]

    assert newest(*facts) == "b"


@pytest.mark.parametrize(
    ("less", "more"),
    [
        (subscription("unpaid"), subscription("past_due")),
        (subscription("past_due"), subscription("trialing")),
        (subscription(cancel_at=9), subscription()),
        (subscription(at_period_end=True), subscription()),
        (subscription("active"), subscription("active", 0, item(), item())),
        (intent("processing", amount_received=2999), intent()),
        (subscription("active", 0, item(quantity=1)), subscription("active", 0, item(quantity=3))),
        (checkout(payment_status="unpaid"), checkout()),
        (customer(None), customer("usr_1")),
        (summary("a"), summary("a", "b")),
        (intent("processing"), intent()),
        (intent(amount_received=1), intent()),
        (charge(amount_refunded=5), charge()),
        (charge(status="failed"), charge()),
        (refund("succeeded"), refund("failed")),
        (dispute("lost"), dispute("needs_response")),
        (dispute("needs_response"), dispute("won")),
        (invoice(amount_paid=0), invoice()),
        (invoice_payment(amount=0), invoice_payment()),
        (credit_note(status="void"), credit_note()),
        (link("sub_1", "usr_1", ended=5), link("sub_1", "usr_1")),
    ],
)
def test_every_kind_ranks_the_snapshot_that_grants_less(less: Fact, more: Fact) -> None:
    assert restrictiveness(less.fields) > restrictiveness(more.fields)


def test_as_many_facts_as_can_be_tried_are_tried() -> None:
    """Find the chain that a greedy walk misses: it would enter past due first and stop there."""
    walk = ["active", *["unpaid", "active"] * (MAX_EXACT_FACTS // 2), "past_due"]
    steps = [
        step(name, there, here)
        for name, (there, here) in zip("abcdefghi", pairwise(walk), strict=True)
    ]

    assert len(steps) == MAX_EXACT_FACTS
    assert newest_of_some(subscription("active", -5, event="before"), *steps) == "i"


def test_a_twin_among_more_facts_than_can_be_tried_stands_beside_its_like() -> None:
    before = subscription("active", -5, event="before")
    chain = handed_on(1, MAX_EXACT_FACTS + 3)
    twin = replace(chain[4], event_id=EventId("zz"))
    ids = [fact.event_id for fact in chain]
    expected = ["before", *ids[:4], "zz", *ids[4:]]

    assert events(before, *chain, twin) == expected
    assert events(twin, *reversed(chain), before) == expected
    assert not order_facts([before, *chain, twin]).guessed


def newest_of_some(*facts: Fact) -> str:
    histories = [order_facts(facts), order_facts(reversed(facts))]
    assert not any(history.guessed for history in histories)
    (found,) = {history.newest.event_id for history in histories}
    return found


def test_a_second_with_many_facts_opens_with_one_that_follows_none_despite_its_id() -> None:
    chain = handed_on(30, MAX_EXACT_FACTS + 3)

    assert max(chain, key=lambda fact: fact.event_id) is not chain[0]
    assert events(*chain) == [fact.event_id for fact in chain]


def test_many_facts_of_a_second_that_say_the_same_are_no_guess() -> None:
    twins = [subscription(event=f"{number:02}") for number in range(MAX_EXACT_FACTS + 3)]
    created = subscription("incomplete", event="99", rank=Rank.CREATED)

    assert not order_facts([*twins, created]).guessed
    assert order_facts([*twins, created]).newest.event_id == "00"
    assert order_facts([*twins, subscription("unpaid", event="98")]).guessed


def test_many_facts_of_a_second_are_a_guess_only_among_those_of_the_last_rank() -> None:
    """Leave the middle open and not the end: unlinked snapshots precede a single deletion."""
    many = [
        customer(f"usr_{number}", event=f"{number:02}") for number in range(MAX_EXACT_FACTS + 3)
    ]
    deleted = customer(None, event="99", rank=Rank.DELETED)
    created = [customer("usr_a", event=name, rank=Rank.CREATED) for name in ("x1", "x2")]

    assert not order_facts([*many, deleted]).guessed
    assert order_facts([*many, *created]).guessed


def test_a_walk_through_many_facts_that_ends_with_the_only_deletion_is_no_guess() -> None:
    many = [
        customer(f"usr_{number}", event=f"{number:02}") for number in range(MAX_EXACT_FACTS + 3)
    ]
    unlinked = customer("usr_a", event="50", was="usr_z")
    deleted = customer(None, event="99", rank=Rank.DELETED)

    assert order_facts([*many, unlinked]).guessed
    assert not order_facts([*many, unlinked, deleted]).guessed


def test_a_walk_through_many_facts_is_a_guess_only_if_its_last_rank_can_end_in_two_ways() -> None:
    twins = [subscription(event=f"{number:02}") for number in range(MAX_EXACT_FACTS + 3)]
    unlinked = step("50", "past_due", "active")
    ends = subscription("canceled", event="99", rank=Rank.DELETED)
    paused = subscription("paused", event="98")

    assert not order_facts([*twins, unlinked]).guessed
    assert order_facts([*twins, unlinked, paused]).guessed
    assert not order_facts([*twins, unlinked, paused, ends]).guessed
