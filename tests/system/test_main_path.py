"""What a payment at Stripe becomes, and what the wrong things get, over HTTP."""

import json
import time
from itertools import count

import pytest

from ops.demo.result import result_of
from ops.samples.api_shapes import Shape
from ops.samples.builders.customers import checkout_session
from ops.samples.lifecycles.registry import Lifecycle, compose
from ops.samples.scenario import Event, Pen, Story
from ops.send.delivery import sign
from tests.system.stack_env import Road

pytestmark = pytest.mark.servers

PREMIUM = {"signals_enabled": True, "max_devices": 5}
_numbers = count(time.time_ns())


def fresh(name: str, now: int, *, user_id: str | None = None) -> Lifecycle:
    return compose(name, shape=Shape.NEW, seed=f"{next(_numbers)}", now=now, user_id=user_id)


def checkout_alone(now: int, **changes: object) -> Event:
    """A paid checkout for usr_123 with everything but what the changes say."""
    story = Story(Pen(Shape.NEW, f"{next(_numbers)}"), user_id="usr_123")
    session = checkout_session(
        story.pen,
        customer_id=None,
        user_id="usr_123",
        amount=2999,
        at=now,
        mode="payment",
        metadata={"plan_code": "premium"},
        payment_intent=story.pen.id("pi"),
    )
    story.tell("checkout.session.completed", {**session, **changes}, at=now)
    return story.events[0]


def test_a_paid_checkout_alone_leaves_entitlement_payment_and_proof(road: Road, now: int) -> None:
    event = checkout_alone(now)
    reference = event.payload["data"]["object"]["payment_intent"]

    answer = road.post(event.body)
    road.await_settled([event.id])

    assert (answer.status, answer.document) == (202, {"status": "accepted", "event_id": event.id})
    seen = road.observe("usr_123")
    (grant,) = [row for row in seen.grants if row["source"] == reference]
    assert (grant["plan_code"], grant["entitlements"], grant["active"]) == (
        "premium",
        PREMIUM,
        True,
    )
    assert grant["event_id"] == event.id
    (payment,) = [row for row in seen.payments if row["payment_ref"] == reference]
    assert (payment["amount_minor"], payment["currency"], payment["status"]) == (
        2999,
        "usd",
        "succeeded",
    )
    booked = [row for row in seen.payment_events if row["payment_ref"] == reference]
    assert [(row["kind"], row["amount_minor"]) for row in booked] == [("received", 2999)]
    audited = [row["action"] for row in seen.audit if row["event_id"] == event.id]
    assert "entitlement.granted" in audited
    assert any(action.startswith("payment.") for action in audited)


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"price_id": "price_premium_monthly"}},
        {"metadata": {"user_id": "usr_123", "plan_code": "premium"}, "client_reference_id": None},
        {"payment_intent": None},
        {"customer": "cus_unheard_of"},
        {"mode": "subscription", "payment_intent": None, "subscription": "sub_unheard_of"},
        {"line_items": {"data": [{"price": {"id": "price_premium_yearly"}}]}, "metadata": {}},
    ],
    ids=["price", "metadata", "no intent", "customer", "subscription", "line items"],
)
def test_a_paid_checkout_may_name_user_plan_and_payment_in_many_ways(
    road: Road, now: int, changes: dict[str, object]
) -> None:
    user_id = f"usr_{next(_numbers)}"
    given = json.loads(json.dumps(changes).replace("usr_123", user_id))
    unheard_of = {k: f"{v}_{user_id}" for k, v in given.items() if str(v).endswith("unheard_of")}
    if given.get("mode") == "subscription":
        given["metadata"] = {"price_id": "price_premium_monthly"}
    event = checkout_alone(now, **{"client_reference_id": user_id, **given, **unheard_of})

    road.post(event.body)
    road.await_settled([event.id])

    seen = road.observe(user_id)
    assert [(row["plan_code"], row["active"]) for row in seen.grants] == [("premium", True)]
    assert {row["feature"]: row["value"] for row in seen.effective} == PREMIUM
    assert [row["amount_minor"] for row in seen.payments] == [2999]
    assert sum(seen.booked.values()) == 2999


def test_a_webhook_sent_again_is_answered_with_its_cached_result(road: Road, now: int) -> None:
    event = fresh("paid_checkout", now).events[0]
    road.post(event.body)
    road.await_settled([event.id])
    before = road.counters()

    until = time.monotonic() + 5
    again = road.post(event.body)
    while result_of(again) is None and time.monotonic() < until:
        time.sleep(0.02)
        again = road.post(event.body)

    assert again.status == 200
    document = again.document
    assert isinstance(document, dict)
    assert (document["status"], document["event_id"]) == ("duplicate", event.id)
    assert document["result"].keys() == {"outcome", "applied_at", "attempts"}
    assert (document["result"]["outcome"], document["result"]["attempts"]) == ("applied", 1)
    names = (
        'billing_webhook_replay_block_total{reason="duplicate"}',
        'idempotent_hits_total{operation="ingest"}',
        'billing_webhook_received_total{result="duplicate"}',
    )
    assert road.await_moved(before, *names).keys() >= set(names)


def test_a_webhook_sent_many_times_is_processed_once(road: Road, now: int) -> None:
    lifecycle = fresh("onetime", now)
    for _ in range(3):
        for event in lifecycle.events:
            road.post(event.body)
    road.await_settled(event.id for event in lifecycle.events)

    seen = road.observe(lifecycle.expected.user_id)
    assert road.complaints(lifecycle.expected) == ()
    assert [row["action"] for row in seen.audit].count("entitlement.granted") == 1


def test_a_forged_webhook_is_refused_and_counted(road: Road, now: int) -> None:
    event = fresh("paid_checkout", now).events[0]
    before = road.counters()

    answer = road.post(event.body, signature=sign(event.body, "whsec_guess", int(time.time())))

    problem = answer.document
    assert answer.status == 403
    assert isinstance(problem, dict)
    assert problem.keys() >= {"type", "title", "status", "detail", "instance"}
    assert event.id not in answer.body.decode()
    name = 'billing_webhook_invalid_sig_total{reason="mismatch"}'
    assert road.await_moved(before, name)[name] == 1
    assert road.settled([event.id]) == set()


@pytest.mark.parametrize(("shift", "reason"), [(-3600, "stale"), (3600, "future")])
def test_a_webhook_out_of_its_time_is_refused_and_counted(
    road: Road, now: int, shift: int, reason: str
) -> None:
    event = fresh("paid_checkout", now).events[0]
    before = road.counters()

    signature = sign(event.body, road.secret, int(time.time()) + shift)
    answer = road.post(event.body, signature=signature)

    assert answer.status == 403
    name = f'billing_webhook_replay_block_total{{reason="{reason}_timestamp"}}'
    assert road.await_moved(before, name)[name] == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"evt_1"', b'{"id": "evt_1"}', b"\xff\xfe", b"[" * 100_000, b"9" * 100_000],
)
def test_a_malformed_body_gets_a_problem_document(road: Road, body: bytes) -> None:
    answer = road.post(body)

    problem = answer.document
    assert answer.status == 400
    assert isinstance(problem, dict)
    assert problem["status"] == 400


def test_an_event_of_a_type_nobody_reads_is_settled_as_ignored(road: Road, now: int) -> None:
    story = Story(Pen(Shape.NEW, f"{next(_numbers)}"), user_id="usr_1")
    story.tell("balance.available", {"object": "balance", "livemode": False}, at=now)
    event = story.events[0]

    assert road.post(event.body).status == 202
    road.await_settled([event.id])


def test_settled_events_are_counted_by_type_and_outcome(road: Road, now: int) -> None:
    lifecycle = fresh("onetime", now)
    before = road.counters()

    for event in lifecycle.events:
        road.post(event.body)
    road.await_settled(event.id for event in lifecycle.events)

    granted = 'billing_entitlement_changes_total{change="granted"}'
    steps = road.await_moved(before, granted)
    settled = {name for name in steps if name.startswith("billing_events_settled_total")}
    assert steps[granted] == 1
    assert any('event_type="checkout.session.completed"' in name for name in settled)
