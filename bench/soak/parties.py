"""Events beside the lifecycles: a busy customer, one whose lock is held, and events to refuse."""

import time
from collections.abc import Sequence

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import new_account
from ops.samples.scenario import Event
from ops.samples.worlds.account import StripeAccount
from ops.samples.worlds.records import Intent, Noise


def payments_of_one_customer(seed: str, customer_id: str, count: int) -> Sequence[Event]:
    """Return ``count`` payments of one customer, each a payment of its own."""
    account = _account(seed)
    for _ in range(count):
        paid = Intent(
            id=account.id("pi"),
            customer=customer_id,
            created=account.at,
            status="succeeded",
            amount=100,
            received=100,
        )
        account.emit("payment_intent.succeeded", paid)
    return account.events


def events_that_no_retry_applies(seed: str, count: int) -> Sequence[Event]:
    """Return signed events about an object without a usable id: each becomes a dead letter."""
    account = _account(seed)
    for _ in range(count):
        account.emit("charge.updated", Noise(id="7", raw={"id": 7, "object": "charge"}))
    return account.events


def _account(seed: str) -> StripeAccount:
    account = new_account(Shape.NEW, at=int(time.time()))
    account.random.seed(seed)
    return account
