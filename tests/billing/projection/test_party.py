"""Properties that hold for every projection, in every order of arrival."""

from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.catalogue import read_catalogue
from billing.facts import Fact, Kind, SubscriptionFields
from billing.ids import EventId, ObjectKey
from billing.projection.party import PartyFacts, project
from billing.rows import Projection
from tests.billing.fact_builders import (
    CATALOGUE,
    DAY,
    amounts,
    at,
    charge,
    checkout,
    customer,
    dispute,
    intent,
    invoice,
    invoice_payment,
    item,
    line,
    make_fact,
    only_grant,
    project_facts,
    refund,
    subscribed,
    subscription,
    subscription_fields,
    summary,
)
from tests.billing.fact_worlds import HISTORIES

NOW = at(3 * DAY)
FROM_ONE_YEAR = [
    customer("usr_1"),
    subscribed(5, invoice="in_1"),
    subscription("incomplete", 3),
    subscription("active", 5, before=subscription_fields("incomplete")),
    invoice(4),
    invoice_payment(4),
    intent(seconds=4),
    charge(4),
    intent("requires_payment_method", 2 * DAY, stripe_id="pi_2", failed=True),
    checkout(DAY, stripe_id="cs_2", payment_intent="pi_3", price_id="price_basic"),
    charge(DAY, stripe_id="ch_3", payment_intent="pi_3", amount_refunded=1000),
    refund("succeeded", DAY, 1000, charge="ch_3", payment_intent="pi_3"),
    dispute("won", DAY + 1, charge="ch_3", payment_intent="pi_3"),
    summary("a", "b", seconds=5),
]


@given(HISTORIES, st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_gives_the_same_projection(
    facts: list[Fact], randomly: Random
) -> None:
    shuffled = [*facts, *facts[: len(facts) // 2]]
    randomly.shuffle(shuffled)

    assert project(shuffled, CATALOGUE, NOW) == project(facts, CATALOGUE, NOW)


@given(HISTORIES, st.randoms(use_true_random=False))
def test_adding_facts_one_by_one_ends_where_all_at_once_begins(
    facts: list[Fact], randomly: Random
) -> None:
    party = PartyFacts()
    for each in randomly.sample(facts, len(facts)):
        party.add([each])
        party.project(CATALOGUE, NOW)

    assert party.project(CATALOGUE, NOW) == project(facts, CATALOGUE, NOW)
    assert sorted(party, key=repr) == sorted(facts, key=repr)


@given(
    st.lists(st.sampled_from(["active", "past_due", "unpaid"]), min_size=12, max_size=14),
    st.randoms(use_true_random=False),
)
@settings(max_examples=10)
def test_many_changes_of_one_second_end_alike_one_by_one_and_all_at_once(
    statuses: list[str], randomly: Random
) -> None:
    numbers = randomly.sample(range(100), len(statuses))
    facts = [customer("usr_1")]
    facts += [
        subscription(here, event=f"evt_{number}", before=subscription_fields(there))
        for number, (there, here) in zip(numbers, pairwise(statuses), strict=False)
    ]
    party = PartyFacts()
    for each in randomly.sample(facts, len(facts)):
        party.add([each])
        party.project(CATALOGUE, NOW)

    assert party.project(CATALOGUE, NOW) == project(facts, CATALOGUE, NOW)


@given(HISTORIES, HISTORIES)
def test_a_replaced_event_loses_its_earlier_facts(facts: list[Fact], others: list[Fact]) -> None:
    party = PartyFacts(facts)
    party.project(CATALOGUE, NOW)
    for event_id in {each.event_id for each in facts}:
        party.replace(event_id, [each for each in others if each.event_id == event_id])
    kept = {each.event_id for each in facts}

    assert party.project(CATALOGUE, NOW) == project(
        [each for each in others if each.event_id in kept], CATALOGUE, NOW
    )


def test_an_object_without_facts_has_no_history() -> None:
    kept, gone = customer("usr_1"), intent()
    party = PartyFacts([kept, gone])

    party.replace(gone.event_id, ())

    assert [history.facts for _, history in party.histories()] == [(kept,)]


@given(HISTORIES)
def test_money_is_never_negative_and_no_more_goes_back_than_came_in(facts: list[Fact]) -> None:
    for row in project(facts, CATALOGUE, NOW).payments.values():
        assert row.amount_minor >= 0
        assert row.amount_refunded_minor >= 0
        if row.amount_minor:
            assert row.amount_refunded_minor <= row.amount_minor
            assert row.status == "succeeded"


@given(HISTORIES)
def test_a_row_in_force_has_a_user_and_has_not_ended(facts: list[Fact]) -> None:
    projection = project(facts, CATALOGUE, NOW)
    stated = {each.event_id for each in facts}

    for row in projection.entitlements.values():
        assert row.event_id in stated
        assert row.because
        if row.active and row.expires_at:
            assert row.expires_at > NOW


@given(HISTORIES)
def test_nothing_changes_by_itself_before_the_projection_is_due(facts: list[Fact]) -> None:
    projection = project(facts, CATALOGUE, NOW)
    if projection.due_at is None:
        assert project(facts, CATALOGUE, at(999 * DAY)) == projection
    else:
        assert projection.due_at > NOW
        just_before = projection.due_at - (projection.due_at - NOW) / 1000
        assert project(facts, CATALOGUE, just_before) == projection
        assert project(facts, CATALOGUE, projection.due_at) != projection


@given(HISTORIES, st.text())
def test_a_status_that_is_not_known_never_grants(facts: list[Fact], word: str) -> None:
    unknown = f"new_{word}"
    changed = [
        replace(each, fields=replace(each.fields, status=unknown))
        if isinstance(each.fields, SubscriptionFields)
        else each
        for each in facts
        if each.kind is not Kind.CHECKOUT_SESSION
    ]

    rows = project(changed, CATALOGUE, NOW).entitlements.values()

    assert not [row for row in rows if row.active and row.source.startswith("sub_")]


@pytest.mark.parametrize("left_out", range(len(FROM_ONE_YEAR)))
def test_a_year_is_the_same_whichever_of_its_facts_comes_last(left_out: int) -> None:
    rest = [each for number, each in enumerate(FROM_ONE_YEAR) if number != left_out]
    party = PartyFacts(rest)
    party.project(CATALOGUE, NOW)
    party.add([FROM_ONE_YEAR[left_out]])

    projection = party.project(CATALOGUE, NOW)

    assert projection == project(FROM_ONE_YEAR, CATALOGUE, NOW)
    assert amounts(projection) == {"pi_1": (2999, 0), "pi_2": (0, 0), "pi_3": (2999, 1000)}
    active = {(row.source, row.plan_code) for row in projection.entitlements.values() if row.active}
    assert active == {("sub_1", "premium"), ("pi_3", "basic"), ("cus_1", "stripe")}
    assert not projection.waiting


def test_no_facts_project_to_nothing() -> None:
    assert project([], CATALOGUE, NOW) == Projection()


def test_objects_of_test_mode_and_of_live_mode_never_meet() -> None:
    projection = project_facts(
        subscription("active", 0, item("price_x"), customer=None),
        customer("usr_1"),
        subscription("past_due", 0, user="usr_2", realm="live"),
        intent(how={"realm": "live", "customer": None}),
    )

    rows = projection.entitlements.values()
    assert [(row.realm, row.user_id) for row in rows] == [("live", "usr_2")]
    assert {row.realm for row in projection.payments.values()} == {"live"}
    assert projection.unknown_prices == {"price_x"}
    assert projection.waiting


def test_a_connected_account_never_meets_the_platform_or_another_one() -> None:
    realms = ["test", "test/acct_1", "test/acct_2"]
    projection = project_facts(
        customer("usr_1"),
        [subscription(user=None, realm=realm) for realm in realms],
        [intent(amount_received=n, how={"realm": realm}) for n, realm in enumerate(realms, 1)],
        refund("succeeded", 5, 2, charge=None, realm="test/acct_1"),
    )

    rows = projection.entitlements.values()
    assert [(row.realm, row.user_id) for row in rows] == [("test", "usr_1")]
    assert {
        row.realm: (row.amount_minor, row.amount_refunded_minor)
        for row in projection.payments.values()
    } == {"test": (1, 0), "test/acct_1": (2, 2), "test/acct_2": (3, 0)}
    assert projection.waiting


def test_a_party_of_two_realms_is_due_when_the_first_of_them_is() -> None:
    projection = project_facts(
        subscription(cancel_at=20 * DAY),
        subscription(cancel_at=15 * DAY, realm="live"),
        summary("a", complete=False, realm="live"),
        subscription(stripe_id="sub_2", stated={"items_complete": False}, realm="live"),
        subscription("canceled", stripe_id="sub_3", stated={"items_complete": False}),
        invoice(lines=(line(),), lines_complete=False, how={"realm": "live"}),
    )

    assert projection.due_at == at(15 * DAY)
    assert projection.incomplete_summaries == {"cus_1"}
    assert projection.incomplete_items == {"live:sub_2"}
    assert projection.incomplete_lines == {"live:in_1"}


def test_an_object_without_facts_is_removed() -> None:
    party = PartyFacts([subscription(event="evt_1"), subscription("unpaid", event="evt_1x")])
    assert party.project(CATALOGUE, NOW).undecided

    party.replace(EventId("evt_1x"), [])
    assert only_grant(party.project(CATALOGUE, NOW)).active
    party.replace(EventId("evt_1"), [])

    assert party.project(CATALOGUE, NOW) == Projection()


def test_a_price_that_a_new_catalogue_knows_is_granted_then() -> None:
    party = PartyFacts([subscription("active", 0, item("price_new"))])
    before = party.project(CATALOGUE, NOW)
    knowing = read_catalogue({"plans": {"new": {"prices": ["price_new"]}}})

    after = party.project(knowing, NOW)

    assert before.unknown_prices == {"price_new"}
    assert not before.entitlements
    assert not after.unknown_prices
    assert only_grant(after).plan_code == "new"
    assert party.project(CATALOGUE, NOW) == before


def test_facts_of_two_kinds_under_one_id_do_not_disturb_each_other() -> None:
    odd = make_fact(Kind.CUSTOMER, "sub_1", customer("usr_1").fields, 0, customer="cus_9")

    assert only_grant(project_facts(subscription(), odd)).active
    assert project_facts(subscription(), odd) == project_facts(odd, subscription())


def test_a_party_of_two_realms_is_the_sum_of_its_parts() -> None:
    parts: list[list[Fact]] = [
        [
            replace(
                each,
                object_key=ObjectKey(each.object_key.replace("test:", f"{realm}:")),
                event_id=EventId(f"{realm}/{each.event_id}"),
            )
            for each in [
                *FROM_ONE_YEAR,
                subscribed(9, stripe_id="cs_9", subscription="sub_9"),
                subscription("active", 9, stripe_id="sub_8", event="a"),
                subscription("unpaid", 9, stripe_id="sub_8", event="b"),
            ]
        ]
        for realm in ("test", "live/acct_1")
    ]

    apart = [project(part, CATALOGUE, NOW) for part in parts]
    together = project([fact for part in parts for fact in part], CATALOGUE, NOW)

    for name in ("customers", "subscriptions", "purchases", "payments", "entitlements"):
        first, second = (getattr(one, name) for one in apart)
        assert first
        assert getattr(together, name) == {**first, **second}
    assert together.undecided == {"test:sub_8", "live/acct_1:sub_8"}
    assert together.missing_subscriptions == {"sub_9"}


def test_the_smallest_amount_of_money_waits_for_its_user_too() -> None:
    assert project_facts(intent(amount_received=1)).waiting


def test_what_one_realm_alone_is_missing_is_missing() -> None:
    projection = project_facts(subscribed(5), customer("usr_1", realm="live"), now=DAY)

    assert projection.missing_subscriptions == {"sub_1"}


def test_what_waits_in_two_realms_waits_in_their_party() -> None:
    silent = [
        intent(stripe_id=f"pi_{realm}", plan_code="basic", invoice="in_9", how={"realm": realm})
        for realm in ("live", "test")
    ]
    projection = project_facts(*silent)

    assert projection.candidates == {"pi_live": (), "pi_test": ()}
    assert projection.awaiting_invoice == {"pi_live", "pi_test"}


def test_a_party_returns_the_state_of_an_object_for_any_order_of_arrival() -> None:
    older, newer = subscription("past_due", 1), subscription("active", 2)
    party = PartyFacts([newer, customer("usr_1")])
    party.project(CATALOGUE, NOW)
    party.add([older])
    party.project(CATALOGUE, NOW)

    assert party.state_of(older) == newer
    assert party.state_of(newer) == newer


def test_paid_checkouts_whose_lines_are_unknown_are_named_in_every_realm() -> None:
    unnamed = [
        checkout(price_id=None, stripe_id=f"cs_{realm}", how={"realm": realm})
        for realm in ("live", "test")
    ]

    assert project_facts(*unnamed).without_line_items == {fact.object_key for fact in unnamed}
