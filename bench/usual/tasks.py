"""The worker that most people write: Celery's defaults, one task and one session per event."""

import os
from typing import Any

from celery import Celery
from sqlalchemy import create_engine
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from bench.usual.tables import Entitlement, ProcessedEvent, UsualAuditLog, UsualPayment

app = Celery("usual", broker=os.environ["USUAL_REDIS_URL"])
app.conf.broker_connection_retry_on_startup = True
engine = create_engine(os.environ["USUAL_DATABASE_URL"])

ENDED = ("canceled", "unpaid", "incomplete_expired")


@app.task(name="usual.process_event")
def process_event(event: dict[str, Any]) -> None:
    """Skip a processed event, apply another one, commit."""
    with Session(engine) as session:
        if session.get(ProcessedEvent, event["id"]):
            return
        session.add(ProcessedEvent(id=event["id"], type=event["type"], payload=event))
        apply(session, event["type"], event["data"]["object"])
        session.add(UsualAuditLog(event_id=event["id"], action=event["type"]))
        session.commit()


def apply(session: Session, kind: str, stated: dict[str, Any]) -> None:
    """Apply an event by the usual chain of conditions on its type."""
    if kind == "checkout.session.completed":
        _entitle(session, stated, active=True)
    elif kind.startswith("customer.subscription."):
        _entitle(session, stated, active=stated["status"] not in ENDED)
    elif kind == "payment_intent.succeeded":
        _pay(session, stated, stated["amount_received"])
    elif kind == "charge.refunded":
        _pay(session, stated, stated["amount"] - stated["amount_refunded"])


def _entitle(session: Session, stated: dict[str, Any], *, active: bool) -> None:
    values = {"active": active, "subscription_id": stated.get("subscription") or stated["id"]}
    customer = stated.get("customer") or stated["id"]
    row = insert(Entitlement).values(customer_id=customer, **values)
    session.execute(row.on_conflict_do_update(index_elements=["customer_id"], set_=values))


def _pay(session: Session, stated: dict[str, Any], amount: int) -> None:
    values = {"amount": amount, "currency": stated["currency"]}
    identifier = stated.get("payment_intent") or stated["id"]
    row = insert(UsualPayment).values(id=identifier, customer_id=stated.get("customer"), **values)
    session.execute(row.on_conflict_do_update(index_elements=["id"], set_=values))
