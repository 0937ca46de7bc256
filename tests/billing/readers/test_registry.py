"""Every handled event is read or refused in one way, even with an odd object."""

from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatch
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.envelope import Envelope, parse
from billing.errors import UnreadableEvent
from billing.fact_codec import fact_from_json, fact_to_json
from billing.facts import OBSERVED, CustomerFields, Rank, SubscriptionFields
from billing.fetching.observations import Observations
from billing.fetching.plan import next_request, observations_in
from billing.fetching.record import FetchRecord, FetchTarget, read_response
from billing.ids import Realm
from billing.readers.registry import (
    HANDLED_TYPES,
    READERS,
    UNHANDLED_TYPES,
    IgnoredReason,
    Reading,
    read_event,
    read_observation,
    read_unasked,
)
from tests.billing.event_builders import encoded, event
from tests.billing.fact_builders import at

SUMMARY = "entitlements.active_entitlement_summary.updated"
MEMBERS = [
    "id",
    "object",
    "customer",
    "customer_account",
    "metadata",
    "status",
    "items",
    "data",
    "price",
    "plan",
    "product",
    "quantity",
    "current_period_end",
    "cancel_at",
    "cancel_at_period_end",
    "start_date",
    "created",
    "mode",
    "payment_status",
    "amount",
    "amount_total",
    "amount_paid",
    "amount_received",
    "amount_captured",
    "amount_refunded",
    "currency",
    "line_items",
    "payment_link",
    "payment_intent",
    "subscription",
    "invoice",
    "latest_charge",
    "charges",
    "refunds",
    "dispute",
    "charge",
    "paid",
    "captured",
    "parent",
    "subscription_details",
    "payments",
    "payment",
    "lines",
    "pricing",
    "price_details",
    "status_transitions",
    "paid_at",
    "entitlements",
    "lookup_key",
    "has_more",
    "user_id",
    "payment_details",
    "order_reference",
    "last_payment_error",
    "deleted",
    "client_reference_id",
]

odd = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
words = st.sampled_from(["x_1", "succeeded", "paid", "", "a\x00", "\ud800", "refund", "é" * 300])
objects: st.SearchStrategy[dict[str, Any]] = st.deferred(
    lambda: st.dictionaries(st.sampled_from(MEMBERS), values, max_size=6)
)
values: st.SearchStrategy[Any] = st.deferred(
    lambda: odd | words | objects | st.lists(objects, max_size=2)
)


def test_events_without_a_reader_are_ignored() -> None:
    reading = read_event(event("balance.available", {"object": "balance"}))

    assert reading == Reading(facts=(), ignored=IgnoredReason.UNKNOWN_TYPE)


@pytest.mark.parametrize(
    "event_type",
    [
        "product.updated",
        "price.updated",
        "plan.deleted",
        "customer.discount.created",
        "subscription_schedule.updated",
        "setup_intent.succeeded",
        "payout.paid",
        "type.of_tomorrow",
    ],
)
def test_unhandled_types_state_nothing(event_type: str) -> None:
    stated = {"id": "x_1", "customer": "cus_1", "amount": 5, "status": "succeeded"}

    assert read_event(event(event_type, stated)).ignored is IgnoredReason.UNKNOWN_TYPE


def test_no_handled_type_is_said_to_be_passed_over() -> None:
    patterns = [each for types in UNHANDLED_TYPES for each in types.split(", ")]

    assert not [name for name in HANDLED_TYPES for each in patterns if fnmatch(name, each)]


def test_an_upcoming_invoice_has_no_id_and_states_nothing() -> None:
    assert read_event(event("invoice.upcoming", {})).ignored is IgnoredReason.UNKNOWN_TYPE


def test_thin_events_wait_for_a_key() -> None:
    thin = {
        "id": "evt_1",
        "object": "v2.core.event",
        "type": "customer.updated",
        "created": "2026-11-21T09:30:00Z",
    }

    assert read_event(parse(encoded(thin))).ignored is IgnoredReason.NEEDS_API_KEY


def thin(event_type: str) -> Envelope:
    document = {
        "id": "evt_1",
        "object": "v2.core.event",
        "type": event_type,
        "created": "2026-11-21T09:30:00Z",
        "livemode": True,
    }
    return parse(encoded(document))


def test_a_thin_event_that_says_what_happened_states_it_at_its_own_time() -> None:
    envelope = thin("v1.charge.failed")
    shown = fetched("ch_1", {"id": "ch_1", "object": "charge", "customer": "cus_1"}, "charge")

    seen, own = read_event(envelope, shown).facts

    assert (seen.event_type, seen.happened_at) == ("", None)
    assert (own.event_type, own.happened_at) == ("charge.failed", envelope.created_at)
    assert (own.event_id, own.created_at) == ("evt_1", shown[0].asked_at)
    assert seen.mentions == own.mentions == ("live:ch_1", "live:cus_1")


def test_a_thin_event_of_an_end_states_it_where_its_object_is_gone() -> None:
    envelope = thin("v1.customer.deleted")

    (fact,) = read_event(envelope, fetched("cus_1", None, family="customer")).facts

    assert (fact.event_type, fact.rank) == ("customer.deleted", Rank.DELETED)
    assert fact.fields == CustomerFields(deleted=True)
    assert (fact.created_at, fact.happened_at) == (envelope.created_at, None)
    assert fact.mentions == ("live:cus_1",)


def test_an_object_of_another_family_is_not_misread() -> None:
    reading = read_event(event("charge.updated", {"id": "re_1", "object": "refund", "amount": 5}))

    assert reading == Reading(facts=(), ignored=IgnoredReason.NOTHING_STATED)


SESSION = {"id": "cs_1", "object": "checkout.session", "mode": "payment"}


@pytest.mark.parametrize("customer", [{}, {"customer": "cus_1"}])
def test_what_the_api_showed_stands_beside_a_snapshot(customer: dict[str, str]) -> None:
    snapshot = event("checkout.session.completed", {**SESSION, **customer, "payment_intent": "pi"})
    shown = fetched(SESSION["id"], {**SESSION, "customer": "cus_1"})

    own, seen = read_event(snapshot, shown).facts

    assert (own.event_id, own.customer_id) == (snapshot.event_id, customer.get("customer"))
    assert (seen.event_id, seen.customer_id) == (shown[0].id, "cus_1")
    assert seen.mentions == ("test:cs_1", "test:cus_1")


def test_an_object_that_is_gone_states_nothing_beside_a_snapshot_of_its_deletion() -> None:
    snapshot = event("customer.deleted", {"id": "cus_1", "object": "customer"})

    (fact,) = read_event(snapshot, fetched("cus_1", None, family="customer")).facts

    assert fact.event_id == snapshot.event_id


def test_an_observation_of_a_family_without_reader_states_nothing() -> None:
    (shown,) = fetched("cus_1", {"id": "cus_1", "object": "customer"}, family="customer")

    assert read_observation(Realm("test"), shown)
    assert read_observation(Realm("test"), replace(shown, family="product")) == ()


class TestAnObjectThatNoEventAskedFor:
    def test_states_what_it_states_for_an_event(self) -> None:
        (shown,) = fetched("cus_1", {"id": "cus_1", "object": "customer"}, family="customer")

        assert read_unasked(Realm("test"), shown) == read_observation(Realm("test"), shown)

    def test_is_a_subscription_that_has_ended_if_that_is_gone(self) -> None:
        (shown,) = fetched("sub_1", None, family="subscription")

        (fact,) = read_unasked(Realm("test"), shown)

        assert isinstance(fact.fields, SubscriptionFields)
        assert (fact.event_id, fact.event_type, fact.created_at) == (shown.id, OBSERVED, at(3))
        assert (fact.fields.status, fact.mentions) == ("canceled", ("test:sub_1",))
        assert read_observation(Realm("test"), shown) == ()

    def test_states_nothing_if_another_object_is_gone(self) -> None:
        (shown,) = fetched("cus_1", None, family="customer")

        assert read_unasked(Realm("test"), shown) == ()


def fetched(
    stripe_id: str, stated: dict[str, Any] | None, family: str = "checkout.session"
) -> Observations:
    """Return what one request showed: this object or, for None, that it is gone."""
    record = FetchRecord(targets=(FetchTarget(family=family, stripe_id=stripe_id),))
    request = next_request(record)
    assert request is not None
    status, body = (404, {}) if stated is None else (200, stated)
    response = read_response(request, status, at(3), encoded(body).decode())
    return observations_in(record.with_response(response))


def test_an_object_that_does_not_say_what_it_is_is_what_the_event_says() -> None:
    for name in (None, 7, "something_new"):
        assert read_event(event("charge.updated", {"id": "ch_1", "object": name})).ignored is None


@pytest.mark.parametrize("event_type", sorted(HANDLED_TYPES))
def test_an_object_that_cannot_be_identified_is_reported(event_type: str) -> None:
    with pytest.raises(UnreadableEvent) as refused:
        read_event(event(event_type, {"id": {"id": 7}, "customer": ""}))

    expected = "data.object.customer" if event_type == SUMMARY else "data.object.id"
    assert (refused.value.event_id, refused.value.missing) == ("evt_1", expected)
    assert expected in str(refused.value)


@pytest.mark.parametrize("event_type", sorted(HANDLED_TYPES))
def test_an_object_without_an_id_is_a_preview_that_states_nothing(event_type: str) -> None:
    reading = read_event(event(event_type, {"amount": 5}))

    assert reading == Reading(facts=(), ignored=IgnoredReason.NOTHING_STATED)


@pytest.mark.parametrize("event_type", sorted(HANDLED_TYPES))
def test_a_fact_carries_the_event_it_comes_from(event_type: str) -> None:
    envelope = event(
        event_type, {"id": "x_1", "customer": "cus_1"}, livemode=True, account="acct_1"
    )

    (fact,) = read_event(envelope).facts

    assert fact.kind is READERS[event_type].kind
    assert (fact.event_id, fact.event_type) == ("evt_1", event_type)
    assert fact.created_at == envelope.created_at
    assert fact.before is None
    assert fact.object_key == fact.mentions[0]
    assert all(mention.startswith("live/acct_1:") for mention in fact.mentions)
    assert fact.rank in Rank


@pytest.mark.parametrize("previous", [None, [], "status", 7])
def test_previous_attributes_that_are_none_say_nothing(previous: object) -> None:
    data = {"object": {"id": "cus_1"}, "previous_attributes": previous}

    (fact,) = read_event(event("customer.updated", {}, data=data)).facts

    assert fact.before is None


def test_a_customer_known_by_its_account_only_is_one() -> None:
    (fact,) = read_event(
        event("charge.updated", {"id": "ch_1", "customer_account": "acct_9"})
    ).facts

    assert fact.customer_id == "acct_9"
    assert "test:acct_9" in fact.mentions


@given(st.sampled_from(sorted(HANDLED_TYPES)), objects, objects | odd)
def test_any_object_is_read_or_reported_and_its_facts_survive_storage(
    event_type: str, stated: dict[str, Any], previous: object
) -> None:
    data = {"object": {"id": "x_1", **stated}, "previous_attributes": previous}

    with suppress(UnreadableEvent):
        reading = read_event(event(event_type, {}, data=data))
        keys = [fact.object_key for fact in reading.facts]
        assert len(keys) == len(set(keys))
        for fact in reading.facts:
            assert fact_from_json(fact_to_json(fact)) == fact
            encoded(fact_to_json(fact)).decode().encode("utf-8")
