"""The tables that most people start with: one for each thing, and a log of processed events."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, String, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UsualBase(DeclarativeBase):
    """The metadata of the baseline."""


class ProcessedEvent(UsualBase):
    """A processed event, so that its repetition is skipped."""

    __tablename__ = "processed_events"
    id: Mapped[str] = mapped_column(String, primary_key=True)
    type: Mapped[str]
    payload: Mapped[dict[str, object]] = mapped_column(JSONB)
    processed_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )


class Entitlement(UsualBase):
    """The access of a customer."""

    __tablename__ = "entitlements"
    customer_id: Mapped[str] = mapped_column(String, primary_key=True)
    active: Mapped[bool]
    subscription_id: Mapped[str | None]


class UsualPayment(UsualBase):
    """A received payment."""

    __tablename__ = "payments"
    id: Mapped[str] = mapped_column(String, primary_key=True)
    customer_id: Mapped[str | None]
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]


class UsualAuditLog(UsualBase):
    """A log entry."""

    __tablename__ = "audit_log"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    event_id: Mapped[str]
    action: Mapped[str]
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
