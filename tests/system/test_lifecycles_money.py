"""The payments of each user and currency equal the payment events, in real PostgreSQL."""

import json
from collections import Counter
from random import Random

import pytest
from sqlalchemy import text

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import Lifecycle, compose
from tests.lifecycle_money import paid_minor, refunded_minor
from tests.system.stack_env import StackUnderTest

pytestmark = pytest.mark.servers

WITHOUT_CENTS, WITH_CENTS, WITH_MILLS = "jpy", "usd", "kwd"
PAYING = ["renewal", "upgrade", "past_due_recovered", "onetime", "refund_full", "refund_partial"]

Totals = dict[tuple[str, str], int]

PAID = """
    SELECT user_id, currency, sum(amount_minor - amount_refunded_minor) AS total FROM payments
    WHERE user_id = ANY(:users) GROUP BY 1, 2
"""
EVENTS = """
    SELECT user_id, currency, sum(amount_minor) AS total FROM payment_events
    WHERE user_id = ANY(:users) GROUP BY 1, 2
"""


def totals(system: StackUnderTest, query: str, *users: str) -> Totals:
    with system.engine.connect() as connection:
        rows = connection.execute(text(query), {"users": list(users)}).mappings()
        return {(row["user_id"], row["currency"]): int(row["total"]) for row in rows}


def in_currency(body: bytes, currency: str) -> bytes:
    return body.replace(b'"usd"', f'"{currency}"'.encode())


def moved_to_another_user(lifecycle: Lifecycle, *, to: str, at: int) -> bytes:
    """Return an event that moves a lifecycle's customer, with all payments, to another user."""
    payload = next(event for event in lifecycle.events if event.type == "customer.created").payload
    payload["data"]["object"]["metadata"] = {"user_id": to}
    payload["data"]["previous_attributes"] = {"metadata": {"user_id": lifecycle.expected.user_id}}
    payload |= {"id": f"{payload['id']}moved", "type": "customer.updated", "created": at}
    return json.dumps(payload).encode()


def kept(lifecycle: Lifecycle) -> int:
    return paid_minor(lifecycle.expected) - refunded_minor(lifecycle.expected)


def test_totals_of_every_user_and_currency_equal_the_payment_events(
    system: StackUnderTest, now: int
) -> None:
    payer, heir = f"usr_payer_{now}", f"usr_heir_{now}"
    lifecycles = [
        (currency, compose(name, shape=shape, seed=f"{now}/{currency}", now=now, user_id=payer))
        for currency in (WITHOUT_CENTS, WITH_CENTS, WITH_MILLS)
        for shape in (Shape.OLD, Shape.NEW)
        for name in PAYING
    ]
    bodies = [
        in_currency(event.body, currency) for currency, one in lifecycles for event in one.events
    ]
    paid: Counter[tuple[str, str]] = Counter()
    for currency, lifecycle in lifecycles:
        paid[payer, currency] += kept(lifecycle)

    chance = Random(now)  # noqa: S311 - a seeded order
    for body in chance.sample(bodies * 2, 2 * len(bodies)):
        system.post(body)
    system.await_settled(event.id for _, lifecycle in lifecycles for event in lifecycle.events)

    assert totals(system, PAID, payer) == totals(system, EVENTS, payer) == paid

    currency, first = lifecycles[0]
    moved = moved_to_another_user(first, to=heir, at=now)
    system.post(moved)
    system.await_settled([json.loads(moved)["id"]])
    paid[payer, currency] -= kept(first)
    paid[heir, currency] += kept(first)

    assert totals(system, PAID, payer, heir) == totals(system, EVENTS, payer, heir) == paid
