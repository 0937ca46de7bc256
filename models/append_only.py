"""Tables that only grow: append-only by trigger, and by rights for the application's role."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, one_of

MOVEMENTS = ("received", "refunded", "refund_reversed", "moved")
BY_PEOPLE = text("actor NOT IN ('stripe', 'clock')")
"""Entries of people, and the few of Paidup itself."""

AUDIT_OUTCOMES = ("done", "refused", "failed")


class PaymentEvent(Base):
    """A signed change of one payment's totals; their sum is what is left of the payment."""

    __tablename__ = "payment_events"
    __table_args__ = (
        one_of("kind", MOVEMENTS),
        CheckConstraint("amount_minor <> 0", name="amount_minor"),
        Index("payment_events_payment_ref_idx", "payment_ref", "realm"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    event_id: Mapped[str | None]
    event_type: Mapped[str | None]
    kind: Mapped[str]
    realm: Mapped[str]
    payment_ref: Mapped[str]
    user_id: Mapped[str | None] = mapped_column(index=True)
    plan_code: Mapped[str | None]
    amount_minor: Mapped[int]
    currency: Mapped[str]
    occurred_at: Mapped[datetime]


class AuditLog(Base):
    """One action: actor, target and reason. The actor is Stripe, the clock or an operator.

    ``version`` is the one that a change of an entitlement gave its user.
    """

    __tablename__ = "audit_logs"
    __table_args__ = (
        one_of("outcome", AUDIT_OUTCOMES),
        Index(
            "audit_logs_user_id_idx", "user_id", "id", postgresql_where=text("user_id IS NOT NULL")
        ),
        Index("audit_logs_event_id_idx", "event_id", postgresql_where=text("event_id IS NOT NULL")),
        Index("audit_logs_target_idx", "target_type", "target_id"),
        Index("audit_logs_action_idx", "action", "id"),
        Index("audit_logs_people_idx", "actor", "id", postgresql_where=BY_PEOPLE),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    occurred_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    actor: Mapped[str]
    action: Mapped[str]
    outcome: Mapped[str]
    origin: Mapped[str]
    target_type: Mapped[str]
    target_id: Mapped[str]
    event_id: Mapped[str | None]
    user_id: Mapped[str | None]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    reason: Mapped[str | None]
    version: Mapped[int | None]
