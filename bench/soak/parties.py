"""Events beside the lifecycles: a busy customer, one whose lock is held, and events to refuse."""

import time
from collections.abc import Sequence

from ops.samples.api_shapes import Shape
from ops.samples.builders.payments import payment_intent
from ops.samples.scenario import Event, ObjectBuilder, Scenario


def payments_of_one_customer(seed: str, customer_id: str, count: int) -> Sequence[Event]:
    """Return ``count`` payments of one customer, each a payment of its own."""
    scenario = _scenario(seed)
    at = int(time.time())
    for _ in range(count):
        intent = payment_intent(scenario.builder, customer_id=customer_id, amount=100, at=at)
        paid = {**intent, "status": "succeeded", "amount_received": 100}
        scenario.emit("payment_intent.succeeded", paid, at=at)
    return scenario.events


def events_that_no_retry_applies(seed: str, count: int) -> Sequence[Event]:
    """Return signed events about an object without a usable id: each becomes a dead letter."""
    scenario = _scenario(seed)
    for _ in range(count):
        scenario.emit("charge.updated", {"id": 7, "object": "charge"}, at=int(time.time()))
    return scenario.events


def _scenario(seed: str) -> Scenario:
    return Scenario(ObjectBuilder(Shape.NEW, seed), user_id=f"usr_{seed}")
