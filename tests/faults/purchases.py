"""Events whose effects all follow from their id, so that the oracle needs the id only.

``evt_x`` is the checkout in which ``usr_x`` pays 29.99 by ``pi_x`` and gets the plan ``premium``.
Those of one customer are ``evt_x.1``, ``evt_x.2``: ``usr_x`` pays, as ``cus_x``.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from billing.envelope import Envelope, parse

AMOUNT: Final = 2999
CURRENCY: Final = "usd"
PLAN: Final = "premium"
CREATED: Final = 1763726400


def event_id(name: object) -> str:
    """Return the event id."""
    return f"evt_{name}"


def name_of(event: str) -> str:
    """Return the part of the id that user, payment and session share."""
    return event.removeprefix("evt_")


def user_of(name: object) -> str:
    """Return the user who pays."""
    return f"usr_{str(name).partition('.')[0]}"


def customer_of(name: object) -> str | None:
    """Return the customer; purchases of one share a partition, a party and its lock."""
    customer, dot, _ = str(name).partition(".")
    return f"cus_{customer}" if dot else None


def purchase(name: object, **changes: Any) -> bytes:
    """Return the body, with changes to the envelope."""
    session = {
        "id": f"cs_{name}",
        "object": "checkout.session",
        "mode": "payment",
        "status": "complete",
        "payment_status": "paid",
        "payment_intent": f"pi_{name}",
        "amount_total": AMOUNT,
        "currency": CURRENCY,
        "client_reference_id": user_of(name),
        "customer": customer_of(name),
        "customer_details": {"email": f"{user_of(name)}@example.com", "name": user_of(name)},
        "metadata": {"plan_code": PLAN},
        "created": CREATED,
        "livemode": False,
    }
    event = {
        "id": event_id(name),
        "object": "event",
        "type": "checkout.session.completed",
        "api_version": "2025-03-31.basil",
        "created": CREATED,
        "livemode": False,
        "data": {"object": session},
    }
    return json.dumps({**event, **changes}).encode()


def purchases(names: Iterable[object]) -> Iterator[Envelope]:
    """Yield verified deliveries, as ingest passes them to the inbox."""
    for name in names:
        yield parse(purchase(name))
