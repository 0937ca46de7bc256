"""What every user paid in every currency is the sum of what was booked, in real PostgreSQL."""

import json
from collections import Counter
from random import Random

import pytest
from sqlalchemy import text

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import Lifecycle, compose
from tests.system.stack_env import Road

pytestmark = pytest.mark.servers

WITHOUT_CENTS, WITH_CENTS, WITH_MILLS = "jpy", "usd", "kwd"
PAYING = ["renewal", "upgrade", "past_due_recovered", "onetime", "refund_full", "refund_partial"]

Totals = dict[tuple[str, str], int]

HELD = """
    SELECT user_id, currency, sum(amount_minor - amount_refunded_minor) AS total FROM payments
    WHERE user_id = ANY(:users) GROUP BY 1, 2
"""
BOOKED = """
    SELECT user_id, currency, sum(amount_minor) AS total FROM payment_events
    WHERE user_id = ANY(:users) GROUP BY 1, 2
"""


def totals(road: Road, query: str, *users: str) -> Totals:
    with road.engine.connect() as connection:
        rows = connection.execute(text(query), {"users": list(users)}).mappings()
        return {(row["user_id"], row["currency"]): int(row["total"]) for row in rows}


def in_currency(body: bytes, currency: str) -> bytes:
    return body.replace(b'"usd"', f'"{currency}"'.encode())


def handed_over(lifecycle: Lifecycle, *, to: str, at: int) -> bytes:
    """The customer of a lifecycle becomes somebody else's, with all he paid."""
    payload = next(event for event in lifecycle.events if event.type == "customer.created").payload
    payload["data"]["object"]["metadata"] = {"user_id": to}
    payload["data"]["previous_attributes"] = {"metadata": {"user_id": lifecycle.expected.user_id}}
    payload |= {"id": f"{payload['id']}moved", "type": "customer.updated", "created": at}
    return json.dumps(payload).encode()


def kept(lifecycle: Lifecycle) -> int:
    return lifecycle.expected.paid_minor - lifecycle.expected.refunded_minor


def test_totals_of_every_user_and_currency_are_what_was_booked(road: Road, now: int) -> None:
    payer, heir = f"usr_payer_{now}", f"usr_heir_{now}"
    told = [
        (currency, compose(name, shape=shape, seed=f"{now}/{currency}", now=now, user_id=payer))
        for currency in (WITHOUT_CENTS, WITH_CENTS, WITH_MILLS)
        for shape in (Shape.OLD, Shape.NEW)
        for name in PAYING
    ]
    bodies = [in_currency(event.body, currency) for currency, one in told for event in one.events]
    paid: Counter[tuple[str, str]] = Counter()
    for currency, lifecycle in told:
        paid[payer, currency] += kept(lifecycle)

    chance = Random(now)  # noqa: S311 - an order that can be drawn again
    for body in chance.sample(bodies * 2, 2 * len(bodies)):
        road.post(body)
    road.await_settled(event.id for _, lifecycle in told for event in lifecycle.events)

    assert totals(road, HELD, payer) == totals(road, BOOKED, payer) == paid

    currency, first = told[0]
    moved = handed_over(first, to=heir, at=now)
    road.post(moved)
    road.await_settled([json.loads(moved)["id"]])
    paid[payer, currency] -= kept(first)
    paid[heir, currency] += kept(first)

    assert totals(road, HELD, payer, heir) == totals(road, BOOKED, payer, heir) == paid
