import json
from collections import Counter
from itertools import pairwise

import pytest

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import (
    SCENARIOS,
    Lifecycle,
    compose,
    scenarios_in,
)
from tests.lifecycle_money import paid_minor, refunded_minor

NOW = 1_795_300_000

EVERY_LIFECYCLE = [(name, shape) for shape in Shape for name in scenarios_in(shape)]


def composed(name: str, shape: Shape = Shape.NEW, seed: str = "a", **extra: str) -> Lifecycle:
    return compose(name, shape=shape, seed=seed, now=NOW, **extra)


@pytest.mark.parametrize(("name", "shape"), EVERY_LIFECYCLE)
def test_the_same_seed_gives_the_same_bytes(name: str, shape: Shape) -> None:
    assert composed(name, shape) == composed(name, shape)


@pytest.mark.parametrize(("name", "shape"), EVERY_LIFECYCLE)
def test_another_seed_shares_no_id(name: str, shape: Shape) -> None:
    one, other = composed(name, shape), composed(name, shape, seed="b")

    assert not {event.id for event in one.events} & {event.id for event in other.events}
    assert one.expected.user_id != other.expected.user_id


@pytest.mark.parametrize(("name", "shape"), EVERY_LIFECYCLE)
def test_events_come_in_causal_order_and_end_now(name: str, shape: Shape) -> None:
    moments = [event.created for event in composed(name, shape).events]

    assert moments == sorted(moments)
    assert NOW - 2 <= moments[-1] <= NOW


@pytest.mark.parametrize(("name", "shape"), EVERY_LIFECYCLE)
def test_an_event_is_indented_json_of_the_size_stripe_sends(name: str, shape: Shape) -> None:
    for event in composed(name, shape).events:
        assert event.payload["id"] == event.id
        assert event.payload["api_version"] == shape.api_version
        assert event.body.startswith(b'{\n  "id": "evt_')
        assert 600 < len(event.body) < 12_000


def test_a_user_may_be_named() -> None:
    lifecycle = composed("onetime", user_id="usr_123")

    assert lifecycle.expected.user_id == "usr_123"
    assert b"usr_123" in lifecycle.events[-1].body


def test_an_unknown_scenario_names_those_there_are() -> None:
    with pytest.raises(LookupError, match=r"no scenario 'nothing'.* first_paid, renewal"):
        composed("nothing")


def test_there_were_no_checkouts_in_ancient_times() -> None:
    with pytest.raises(LookupError, match="no scenario"):
        composed("onetime", Shape.ANCIENT)


@pytest.mark.parametrize(("shape", "links"), [(Shape.OLD, 0), (Shape.NEW, 1)])
def test_only_the_new_shape_has_payments_of_invoices(shape: Shape, links: int) -> None:
    kinds = Counter(event.type for event in composed("trial_active", shape).events)

    assert kinds["charge.succeeded"] == 1
    assert kinds["invoice.payment_succeeded"] == 2
    assert kinds["invoice_payment.paid"] == links


def test_paths_moved_between_the_shapes() -> None:
    old, new = (
        {
            event.type: event.payload["data"]["object"]
            for event in composed("first_paid", shape).events
        }
        for shape in (Shape.OLD, Shape.NEW)
    )

    subscription = "customer.subscription.updated"
    assert old[subscription]["current_period_end"] == NOW - 3 + 30 * 86_400
    assert "current_period_end" not in new[subscription]
    assert new[subscription]["items"]["data"][0]["current_period_end"] == NOW - 3 + 30 * 86_400
    assert old["invoice.paid"]["payment_intent"] == old["payment_intent.succeeded"]["id"]
    assert "payment_intent" not in new["invoice.paid"]
    assert new["invoice.paid"]["parent"]["subscription_details"]["metadata"].keys() == {"user_id"}
    assert old["invoice.paid"]["paid"] is True
    assert "paid" not in new["invoice.paid"]


def test_ancient_objects_know_neither_items_nor_intents() -> None:
    ancient = composed("renewal", Shape.ANCIENT)
    bodies = json.dumps([event.payload for event in ancient.events])

    assert '"items"' not in bodies
    assert '"pi_' not in bodies
    assert '"price"' not in bodies
    assert paid_minor(ancient.expected) == 3 * 2999


def test_ancient_objects_have_the_names_and_words_of_their_time() -> None:
    """Name what was renamed in 2015 (charges), 2018 (lines) and 2019 (invoices, subscriptions)."""
    stated = {
        event.type: event.payload["data"]["object"]
        for event in composed("first_paid", Shape.ANCIENT).events
    }
    invoice, subscription = stated["invoice.created"], stated["customer.subscription.created"]

    assert stated["charge.succeeded"]["status"] == "paid"
    assert invoice["date"] == subscription["start"]
    assert not {"created", "start_date"} & {*invoice, *subscription}
    assert [line["id"] for line in invoice["lines"]["data"]] == [subscription["id"]]


def test_previous_attributes_lead_back_to_the_snapshot_before() -> None:
    snapshots = [
        event.payload["data"]
        for event in composed("same_second").events
        if event.type.startswith("customer.subscription.")
    ]

    assert len(snapshots) == 4
    for before, after in pairwise(snapshots):
        undone = {**after["object"], **after["previous_attributes"]}
        metadata = {
            **after["object"]["metadata"],
            **after["previous_attributes"].get("metadata", {}),
        }
        metadata = {name: value for name, value in metadata.items() if value is not None}
        assert {**undone, "metadata": metadata} == before["object"]


@pytest.mark.parametrize("shape", [Shape.OLD, Shape.NEW])
def test_the_expected_ends_are_these(shape: Shape) -> None:
    ends = {name: composed(name, shape).expected for name in SCENARIOS}

    assert {name for name, end in ends.items() if not end.features} == {
        "cancel_at_period_end",
        "refund_full",
        "dispute_lost",
        "checkout_expired",
    }
    assert {name: (paid_minor(end), refunded_minor(end)) for name, end in ends.items()} == {
        "paid_checkout": (2999, 0),
        "first_paid": (2999, 0),
        "renewal": (8997, 0),
        "trial_active": (2999, 0),
        "cancel_at_period_end": (2999, 0),
        "past_due_recovered": (5998, 0),
        "upgrade": (2999 + 3000, 0),
        "same_second": (2999, 0),
        "entitlement_summary": (2999, 0),
        "onetime": (9900, 0),
        "refund_full": (9900, 9900),
        "refund_partial": (9900, 4000),
        "dispute_lost": (9900, 0),
        "dispute_won": (9900, 0),
        "async_payment": (9900, 0),
        "checkout_expired": (0, 0),
    }
    assert ends["upgrade"].features == {"max_devices": 3}
    assert ends["entitlement_summary"].features == {
        "signals_enabled": True,
        "max_devices": 5,
        "exports": True,
        "priority_support": True,
    }
