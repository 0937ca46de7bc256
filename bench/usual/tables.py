"""The tables most people start with: one for each thing, and a log of what was processed."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, String, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The metadata of the baseline."""


class ProcessedEvent(Base):
    """An event that was handled, so that its repetition is not."""

    __tablename__ = "processed_events"
    id: Mapped[str] = mapped_column(String, primary_key=True)
    type: Mapped[str]
    payload: Mapped[dict[str, object]] = mapped_column(JSONB)
    processed_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )


class Entitlement(Base):
    """What a customer may do."""

    __tablename__ = "entitlements"
    customer_id: Mapped[str] = mapped_column(String, primary_key=True)
    active: Mapped[bool]
    subscription_id: Mapped[str | None]


class Payment(Base):
    """Money that came in."""

    __tablename__ = "payments"
    id: Mapped[str] = mapped_column(String, primary_key=True)
    customer_id: Mapped[str | None]
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]


class AuditLog(Base):
    """That something was done."""

    __tablename__ = "audit_log"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    event_id: Mapped[str]
    action: Mapped[str]
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
