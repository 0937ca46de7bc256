"""Payments and invalid requests, over HTTP."""

import json
import time
from dataclasses import replace
from itertools import count

import pytest

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import Lifecycle, compose, new_account
from ops.samples.scenario import Event
from ops.samples.worlds.records import Noise
from ops.send.delivery import sign
from tests.system.stack_env import StackUnderTest

pytestmark = pytest.mark.servers

PREMIUM = {"signals_enabled": True, "max_devices": 5}
_numbers = count(time.time_ns())


def fresh(name: str, now: int, *, user_id: str | None = None) -> Lifecycle:
    return compose(name, shape=Shape.NEW, seed=f"{next(_numbers)}", now=now, user_id=user_id)


def checkout_alone(now: int, **changes: object) -> Event:
    """Return a paid checkout with ``changes``, of usr_123 unless they name a user."""
    user_id = str(changes.get("client_reference_id") or "usr_123")
    event = fresh("paid_checkout", now, user_id=user_id).events[0]
    payload = event.payload
    payload["data"]["object"] |= changes
    return replace(event, body=json.dumps(payload).encode())


def test_a_paid_checkout_alone_makes_an_entitlement_a_payment_and_audit_rows(
    system: StackUnderTest, now: int
) -> None:
    event = checkout_alone(now)
    reference = event.payload["data"]["object"]["payment_intent"]

    answer = system.post(event.body)
    system.await_settled([event.id])

    assert (answer.status, answer.document) == (202, {"status": "accepted", "event_id": event.id})
    observed = system.observe("usr_123")
    (grant,) = [row for row in observed.grants if row["source"] == reference]
    assert (grant["plan_code"], grant["entitlements"], grant["active"]) == (
        "premium",
        PREMIUM,
        True,
    )
    assert grant["event_id"] == event.id
    (payment,) = [row for row in observed.payments if row["payment_ref"] == reference]
    assert (payment["amount_minor"], payment["currency"], payment["status"]) == (
        2999,
        "usd",
        "succeeded",
    )
    booked = [row for row in observed.payment_events if row["payment_ref"] == reference]
    assert [(row["kind"], row["amount_minor"]) for row in booked] == [("received", 2999)]
    audited = [row["action"] for row in observed.audit if row["event_id"] == event.id]
    assert "entitlement.granted" in audited
    assert any(action.startswith("payment.") for action in audited)


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"price_id": "price_premium_monthly"}},
        {"metadata": {"user_id": "usr_123", "plan_code": "premium"}, "client_reference_id": None},
        {"payment_intent": None},
        {"customer": "cus_unknown"},
        {"mode": "subscription", "payment_intent": None, "subscription": "sub_unknown"},
        {"line_items": {"data": [{"price": {"id": "price_premium_yearly"}}]}, "metadata": {}},
    ],
    ids=["price", "metadata", "no intent", "customer", "subscription", "line items"],
)
def test_a_paid_checkout_may_name_user_plan_and_payment_in_many_ways(
    system: StackUnderTest, now: int, changes: dict[str, object]
) -> None:
    user_id = f"usr_{next(_numbers)}"
    given = json.loads(json.dumps(changes).replace("usr_123", user_id))
    unknown = {k: f"{v}_{user_id}" for k, v in given.items() if str(v).endswith("unknown")}
    if given.get("mode") == "subscription":
        given["metadata"] = {"price_id": "price_premium_monthly"}
    event = checkout_alone(now, **{"client_reference_id": user_id, **given, **unknown})

    system.post(event.body)
    system.await_settled([event.id])

    observed = system.observe(user_id)
    assert [(row["plan_code"], row["active"]) for row in observed.grants] == [("premium", True)]
    assert {row["feature"]: row["value"] for row in observed.effective} == PREMIUM
    assert [row["amount_minor"] for row in observed.payments] == [2999]
    assert sum(observed.booked.values()) == 2999


def test_a_webhook_sent_again_is_answered_with_its_cached_result(
    system: StackUnderTest, now: int
) -> None:
    event = fresh("paid_checkout", now).events[0]
    system.post(event.body)
    system.await_settled([event.id])
    before = system.counters()

    until = time.monotonic() + 5
    again = system.post(event.body)
    while again.field("result") is None and time.monotonic() < until:
        time.sleep(0.02)
        again = system.post(event.body)

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
    assert system.await_moved(before, *names).keys() >= set(names)


def test_a_webhook_sent_many_times_is_processed_once(system: StackUnderTest, now: int) -> None:
    lifecycle = fresh("onetime", now)
    for _ in range(3):
        for event in lifecycle.events:
            system.post(event.body)
    system.await_settled(event.id for event in lifecycle.events)

    observed = system.observe(lifecycle.expected.user_id)
    assert system.differences(lifecycle.expected) == ()
    assert [row["action"] for row in observed.audit].count("entitlement.granted") == 1


def test_a_forged_webhook_is_refused_and_counted(system: StackUnderTest, now: int) -> None:
    event = fresh("paid_checkout", now).events[0]
    before = system.counters()

    answer = system.post(event.body, signature=sign(event.body, "whsec_guess", int(time.time())))

    problem = answer.document
    assert answer.status == 403
    assert isinstance(problem, dict)
    assert problem.keys() >= {"type", "title", "status", "detail", "instance"}
    assert event.id not in answer.body.decode()
    name = 'billing_webhook_invalid_sig_total{reason="mismatch"}'
    assert system.await_moved(before, name)[name] == 1
    assert system.settled([event.id]) == set()


@pytest.mark.parametrize(("shift", "reason"), [(-3600, "stale"), (3600, "future")])
def test_a_webhook_out_of_its_time_is_refused_and_counted(
    system: StackUnderTest, now: int, shift: int, reason: str
) -> None:
    event = fresh("paid_checkout", now).events[0]
    before = system.counters()

    signature = sign(event.body, system.secret, int(time.time()) + shift)
    answer = system.post(event.body, signature=signature)

    assert answer.status == 403
    name = f'billing_webhook_replay_block_total{{reason="{reason}_timestamp"}}'
    assert system.await_moved(before, name)[name] == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"evt_1"', b'{"id": "evt_1"}', b"\xff\xfe", b"[" * 100_000, b"9" * 100_000],
)
def test_a_malformed_body_gets_a_problem_document(system: StackUnderTest, body: bytes) -> None:
    answer = system.post(body)

    problem = answer.document
    assert answer.status == 400
    assert isinstance(problem, dict)
    assert problem["status"] == 400


def test_an_event_of_an_unknown_type_is_settled_as_ignored(
    system: StackUnderTest, now: int
) -> None:
    account = new_account(Shape.NEW, at=now)
    account.random.seed(next(_numbers))
    account.emit("balance.available", Noise(id="", raw={"object": "balance", "livemode": False}))
    (event,) = account.events

    assert system.post(event.body).taken
    system.await_settled([event.id])


def test_settled_events_are_counted_by_type_and_outcome(system: StackUnderTest, now: int) -> None:
    lifecycle = fresh("onetime", now)
    before = system.counters()

    for event in lifecycle.events:
        system.post(event.body)
    system.await_settled(event.id for event in lifecycle.events)

    granted = 'billing_entitlement_changes_total{change="granted"}'
    steps = system.await_moved(before, granted)
    settled = {name for name in steps if name.startswith("billing_events_settled_total")}
    assert steps[granted] == 1
    assert any('event_type="checkout.session.completed"' in name for name in settled)
