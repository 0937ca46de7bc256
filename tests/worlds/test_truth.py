"""Small worlds in which the truth was wrong once, or in which the rules leave the end open."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from ops.samples.scenario import DAY
from ops.samples.worlds import offers
from ops.samples.worlds.account import StripeAccount
from ops.samples.worlds.endpoints import WorldEndpoint
from ops.samples.worlds.records import (
    Charge,
    Customer,
    Intent,
    Metadata,
    Session,
    Subscription,
)
from ops.samples.worlds.releases import ApiRelease
from ops.samples.worlds.steps import billing, buying, people, subscribing
from ops.samples.worlds.steps.subscribing import Names
from ops.samples.worlds.truth.evidence import AmbiguousWorldError
from ops.samples.worlds.world import START, World, WorldPlan, ended
from tests.worlds.compare import failures

USER = {"user_id": "usr_1"}
ONE_PRO = [(offers.PRO, 1)]


def world_of_steps(
    steps: Callable[[StripeAccount], object],
    hears: str = "everything",
    since: int = 0,
    identity: Mapping[str, Any] | None = None,
    **policy: str,
) -> World:
    """Return the world that steps make, of which an endpoint hears so much since that second."""
    plan = WorldPlan(
        seed="steps",
        release=ApiRelease.CLOVER,
        endpoint=WorldEndpoint(hears, since),
        users=("usr_1",),
        moves=(),
        policy=policy,
        identity=identity or {},
    )
    account = StripeAccount(
        release=plan.release,
        at=START,
        listens=lambda event_type, at: plan.endpoint.listens(event_type, at - START),
    )
    steps(account)
    return ended(plan, [account])


def changing_seats(*seats: int, twin: int | None = None) -> Callable[[StripeAccount], None]:
    """Return steps that change seats in one second; the change number ``twin`` has two events."""

    def steps(account: StripeAccount) -> None:
        customer = people.arrive(account, metadata=USER)
        held = subscribing.subscribe(account, customer, [(offers.TEAM, 3)])
        account.wait(DAY)
        for number, quantity in enumerate(seats):
            account.twins = float(number == twin)
            item = replace(account.get(Subscription, held.id).items[0], quantity=quantity)
            account.change(subscribing.UPDATED, held, items=(item,))
            account.twins = 0

    return steps


def seats_of(world: World) -> object:
    (end,) = world.ends
    return end.features["usr_1"]["seats"]


def test_changes_of_a_second_in_a_circle_end_where_they_began() -> None:
    world = world_of_steps(changing_seats(5, 1, 3))

    assert seats_of(world) == 3
    assert failures(world, shuffles=3) == []


def test_a_circle_whose_begin_was_not_heard_is_left_open() -> None:
    with pytest.raises(AmbiguousWorldError, match="a circle that begins nowhere"):
        world_of_steps(changing_seats(5, 1, 3), since=DAY)

    world = world_of_steps(changing_seats(5, 1, 4), since=DAY)
    assert failures(world, shuffles=3) == []


def test_a_twin_within_a_second_changes_nothing() -> None:
    for twin in range(3):
        world = world_of_steps(changing_seats(5, 1, 4, twin=twin))
        assert seats_of(world) == 4
        assert failures(world, shuffles=3) == []


def test_a_twin_that_may_be_one_more_change_is_left_open() -> None:
    with pytest.raises(AmbiguousWorldError, match="one more change of its second"):
        world_of_steps(changing_seats(5, 1, 3, twin=0))


def test_a_reference_gives_way_for_its_customer_to_the_metadata_of_what_was_bought() -> None:
    def steps(account: StripeAccount) -> None:
        customer = people.arrive(account)
        subscribing.subscribe(
            account,
            customer,
            [(offers.BASIC, 1)],
            metadata=USER,
            checkout=Names(reference="click_1"),
        )
        account.wait(DAY)
        subscribing.subscribe(account, customer, [(offers.ADDON, 1)])

    world = world_of_steps(steps)

    assert set(world.ends[0].features) == {"usr_1"}
    assert failures(world, shuffles=3) == []


def test_a_pass_of_a_checkout_begins_when_its_invoice_was_paid_where_no_payment_is_heard() -> None:
    def steps(account: StripeAccount) -> None:
        names = Names(metadata={**USER, "price_id": offers.DAY_PASS.price})
        line = billing.once_line(account, offers.DAY_PASS)
        customer = people.arrive(account)
        buying.check_out(account, customer, offers.DAY_PASS.amount, names, lines=[line])

    world = world_of_steps(steps, hears="bills-only")

    (grant,) = world.ends[0].grants
    paid = [each.created for each in world.events if each.type == "invoice.paid"]
    assert [grant.expires_at] == [at + DAY for at in paid]
    assert failures(world, shuffles=3) == []


def test_a_period_went_back_when_what_its_entitled_items_cost_did() -> None:
    def steps(account: StripeAccount) -> None:
        customer = people.arrive(account, metadata=USER)
        goods = [(offers.UNKNOWN, 1), (offers.TEAM, 1)]
        subscribing.subscribe(account, customer, goods)
        account.wait(DAY)
        (charge,) = account.of(Charge)
        buying.refund(account, charge, offers.TEAM.amount)

    world = world_of_steps(steps, subscription_refund_full="end")

    assert world.ends[0].grants == ()
    assert failures(world, shuffles=3) == []


def test_a_session_that_stands_in_ends_as_its_subscription_would() -> None:
    def steps(account: StripeAccount) -> None:
        customer = people.arrive(account, metadata=USER)
        names = Names(metadata={"price_id": offers.BASIC.price})
        subscribing.subscribe(account, customer, [(offers.BASIC, 1)], checkout=names)
        account.wait(DAY)
        (charge,) = account.of(Charge)
        buying.dispute(account, charge, status="needs_response")

    keeps = world_of_steps(steps, hears="no-snapshots")
    ends = world_of_steps(steps, hears="no-snapshots", subscription_dispute_open="end")

    assert [len(world.ends[0].grants) for world in (keeps, ends)] == [1, 0]
    assert failures(keeps, shuffles=3) + failures(ends, shuffles=3) == []


def test_a_payment_that_was_not_heard_counts_to_what_was_received_for_its_invoice() -> None:
    def steps(account: StripeAccount) -> None:
        customer = people.arrive(account)
        lines = [billing.once_line(account, offers.LIFETIME)]
        buying.invoice_in_parts(account, customer, lines, [3000, 1900], metadata=USER)
        account.wait(DAY)
        charge = list(account.of(Charge))[-1]
        buying.dispute(account, charge, status="lost")

    whole = world_of_steps(steps)
    second_only = world_of_steps(steps, since=DAY + 3600)

    assert whole.ends[0].features == second_only.ends[0].features != {}
    assert failures(second_only, shuffles=3) == []


def test_an_object_that_is_heard_late_names_its_user_since_it_was_made() -> None:
    def steps(account: StripeAccount) -> None:
        customer = people.arrive(account)
        older = buying.check_out(account, customer, 4900, Names(metadata=USER), capture="delayed")
        account.wait(2 * DAY)
        buying.pay_directly(account, customer, 1000, {})
        account.wait(DAY)
        buying.check_out(account, customer, 4900, Names(metadata={"user_id": "usr_2"}))
        buying.settle_debit(account, older)

    world = world_of_steps(steps, since=DAY)

    assert {row.received: row.user for row in world.ends[0].money}[1000] == "usr_1"
    assert failures(world, shuffles=3) == []


def test_a_link_of_a_customer_moves_what_its_user_had_and_nothing_later() -> None:
    def steps(account: StripeAccount) -> None:
        customer = people.arrive(account, metadata=USER)
        subscribing.subscribe(account, customer, [(offers.BASIC, 1)], metadata=USER)
        account.wait(DAY)
        people.link_by_hand(account, customer.id, "usr_2")
        account.wait(DAY)
        subscribing.subscribe(account, customer, [(offers.ADDON, 1)], metadata=USER)

    world = world_of_steps(steps)

    assert world.ends[0].features["usr_2"] == {"basic": True, "max_devices": 2}
    assert world.ends[0].features["usr_1"] == {"addon": True}
    assert failures(world, shuffles=3) == []


def test_a_link_that_was_taken_back_moved_nothing() -> None:
    def steps(account: StripeAccount) -> None:
        customer = people.arrive(account, metadata=USER)
        subscribing.subscribe(account, customer, [(offers.BASIC, 1)], metadata=USER)
        people.link_by_hand(account, customer.id, "usr_2")
        people.end_link(account, account.linked[0])

    world = world_of_steps(steps)

    assert set(world.ends[0].features) == {"usr_1"}
    assert failures(world, shuffles=3) == []


def test_the_newest_link_of_what_belongs_to_one_payment_counts() -> None:
    def steps(account: StripeAccount) -> None:
        names = Names(metadata={**USER, "price_id": offers.LIFETIME.price})
        session = buying.check_out(account, people.arrive(account), 4900, names)
        people.link_by_hand(account, session.intent or "", "usr_2")
        people.link_by_hand(account, session.id, "usr_3")

    world = world_of_steps(steps)

    assert set(world.ends[0].features) == {"usr_3"}
    assert failures(world, shuffles=3) == []


def linked_before(move: Callable[[StripeAccount, str], None]) -> World:
    """Return a world in which a person links one of two subscriptions, and then a customer moves.

    The customer and the other subscription name usr_1.
    """

    def steps(account: StripeAccount) -> None:
        customer = people.arrive(account, metadata=USER)
        linked = subscribing.subscribe(account, customer, [(offers.BASIC, 1)], metadata=USER)
        other = {"user_id": "usr_3"}
        subscribing.subscribe(account, customer, [(offers.ADDON, 1)], metadata=other)
        people.link_by_hand(account, linked.id, "usr_1")
        account.wait(DAY)
        move(account, customer.id)

    world = world_of_steps(steps)
    assert failures(world, shuffles=3) == []
    return world


def test_a_link_of_an_object_moves_with_its_customer_as_what_it_states_itself_does() -> None:
    def name_another(account: StripeAccount, customer: str) -> None:
        people.name_user(account, account.get(Customer, customer), "usr_2")

    def link_to_another(account: StripeAccount, customer: str) -> None:
        people.link_by_hand(account, customer, "usr_2")

    for move in (name_another, link_to_another):
        features = linked_before(move).ends[0].features
        assert features["usr_2"] == {"basic": True, "max_devices": 2}
        assert features["usr_3"] == {"addon": True}
        assert "usr_1" not in features


def test_a_link_of_an_object_stays_where_its_customer_had_no_user_before_or_another() -> None:
    for named in ({}, {"user_id": "usr_3"}):

        def steps(account: StripeAccount, named: Metadata = named) -> None:
            customer = people.arrive(account, metadata=named)
            linked = subscribing.subscribe(account, customer, [(offers.BASIC, 1)])
            people.link_by_hand(account, linked.id, "usr_1")
            people.link_by_hand(account, customer.id, "usr_2")

        world = world_of_steps(steps)
        assert set(world.ends[0].features) == {"usr_1"}
        assert failures(world, shuffles=3) == []


def test_a_link_of_a_customer_comes_where_its_metadata_would_before_a_reference() -> None:
    orders = {("metadata",): "usr_2", ("client_reference_id", "metadata"): "usr_1"}
    for user_from, user in {**orders, ("metadata", "client_reference_id"): "usr_2"}.items():

        def steps(account: StripeAccount) -> None:
            customer = people.arrive(account)
            names = Names(metadata={"price_id": offers.LIFETIME.price}, reference="usr_1")
            buying.check_out(account, customer, 4900, names)
            people.link_by_hand(account, customer.id, "usr_2")

        world = world_of_steps(steps, identity={"user_from": user_from})
        assert set(world.ends[0].features) == {user}
        assert failures(world, shuffles=3) == []


def test_a_linked_payment_of_a_subscription_is_its_users_and_the_subscription_stays() -> None:
    def steps(account: StripeAccount) -> None:
        customer = people.arrive(account, metadata=USER)
        subscribing.subscribe(account, customer, [(offers.BASIC, 1)])
        (intent,) = account.of(Intent)
        people.link_by_hand(account, intent.id, "usr_2")

    world = world_of_steps(steps)

    assert set(world.ends[0].features) == {"usr_1"}
    assert [row.user for row in world.ends[0].money] == ["usr_2"]
    assert failures(world, shuffles=3) == []


def test_a_linked_checkout_speaks_for_the_subscription_that_it_made() -> None:
    def steps(account: StripeAccount) -> None:
        customer = people.arrive(account, metadata=USER)
        checkout = Names(reference="click_1")
        subscribing.subscribe(account, customer, [(offers.BASIC, 1)], checkout=checkout)
        (session,) = account.of(Session)
        people.link_by_hand(account, session.id, "usr_2")

    world = world_of_steps(steps)

    assert set(world.ends[0].features) == {"usr_2"}
    assert [row.user for row in world.ends[0].money] == ["usr_2"]
    assert failures(world, shuffles=3) == []


def test_what_people_gave_counts_beside_stripe_and_after_it() -> None:
    def steps(account: StripeAccount) -> None:
        held = subscribing.subscribe(account, people.arrive(account, metadata=USER), ONE_PRO)
        people.grant_by_hand(account, "usr_1", plan="basic", features={"early": True})
        people.grant_by_hand(account, "usr_1", plan="retired", features={"retired": True})
        people.grant_by_hand(account, "usr_1", features={"beta": True}, everywhere=False)
        people.grant_by_hand(account, "usr_1", features={"beta": 3}, later=9 * DAY)
        over = people.grant_by_hand(account, "usr_1", features={"seats": 9}, lasts=9 * DAY)
        people.end_grant(account, over)
        subscribing.cancel(account, held)

    world = world_of_steps(steps)

    assert [dict(end.features) for end in world.ends] == [
        {"usr_1": {"beta": True}},
        {"usr_1": {"basic": True, "max_devices": 2, "retired": True}},
    ]
    assert failures(world, shuffles=3) == []


def test_a_copy_names_the_user_of_a_subscription_that_would_wait_between_two() -> None:
    def steps(account: StripeAccount) -> None:
        customer = people.arrive(account)
        for user in ("usr_2", "usr_1"):
            buying.check_out(account, customer, 4900, Names(metadata={"user_id": user}))
            account.wait(DAY)
        subscribing.subscribe(account, customer, ONE_PRO, metadata=USER)

    world = world_of_steps(steps, hears="no-snapshots")

    assert {row.user for row in world.ends[0].money} == {"usr_1", "usr_2"}
    assert "copies-name-user" in world.ends[0].rules
    assert failures(world, shuffles=3) == []


def test_a_subscription_of_2014_is_as_old_as_its_first_event_since_it_did_not_say_more() -> None:
    plan = WorldPlan(
        seed="steps",
        release=ApiRelease.V2014,
        endpoint=WorldEndpoint("intents-only", 5 * DAY),
        users=("usr_1",),
        moves=(),
    )
    account = StripeAccount(
        release=plan.release,
        at=START,
        listens=lambda event_type, at: plan.endpoint.listens(event_type, at - START),
    )
    customer = people.arrive(account)
    second, first, silent = (
        subscribing.subscribe(account, customer, [(offers.BASIC, 1)], metadata=metadata)
        for metadata in ({"user_id": "usr_2"}, USER, {})
    )
    account.wait(6 * DAY)
    for held in (first, silent, second):
        account.wait(DAY)
        subscribing.update(account, held, description="heard of for the first time")

    world = ended(plan, [account])

    assert {grant.source: grant.user for grant in world.ends[0].grants}[silent.id] == "usr_1"
    assert failures(world, shuffles=3) == []
