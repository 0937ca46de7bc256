"""Rows projected from facts and catalogue; each of them can be computed again.

``archive`` of a row is that of the payment it follows from, and empty as long as its facts are
loaded with their party.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import BY_PREFIX, UPDATED_OFTEN, Base, one_of

PURCHASE_STATUSES = ("paid", "pending", "expired", "failed")
PAYMENT_STATUSES = ("pending", "succeeded", "failed", "canceled")

MONEY_BACK = text("amount_refunded_minor > 0 OR dispute_status IS NOT NULL")
"""Payments of which money went back or is disputed."""

GIVEN_HASH = "hashtextextended(entitlements::text, hash_array_extended(per_seat, 0))"
"""A hash of what a row of ``user_entitlements`` gives, whose length no index could bear."""


_NEWEST = ("occurred_at", "payment_ref", "realm")
"""The order in which payments are listed."""


class StoredCustomer(Base):
    """A Stripe customer and its user, once an event named the user."""

    __tablename__ = "customers"
    __table_args__ = (
        Index("customers_user_id_idx", "user_id", postgresql_ops={"user_id": BY_PREFIX}),
    )

    realm: Mapped[str] = mapped_column(primary_key=True)
    stripe_customer_id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str | None]
    party: Mapped[str] = mapped_column(index=True)


class StoredSubscription(Base):
    """A subscription as its newest observation shows it; ``status`` is Stripe's own word."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index("subscriptions_status_idx", "status", "realm", "stripe_subscription_id"),
        {"postgresql_with": UPDATED_OFTEN},
    )

    realm: Mapped[str] = mapped_column(primary_key=True)
    stripe_subscription_id: Mapped[str] = mapped_column(primary_key=True)
    stripe_customer_id: Mapped[str | None]
    user_id: Mapped[str | None] = mapped_column(index=True)
    status: Mapped[str]
    prices: Mapped[list[str]]
    current_period_end: Mapped[datetime | None]
    cancel_at_period_end: Mapped[bool]
    as_of: Mapped[datetime]
    party: Mapped[str] = mapped_column(index=True)


class StoredPurchase(Base):
    """One line that was bought; ``line`` is empty where the lines are not known.

    ``purchase_ref`` is the payment intent, else the charge, the invoice, the session. ``ends_at``
    is the end that the line has by itself.
    """

    __tablename__ = "purchases"
    __table_args__ = (
        one_of("status", PURCHASE_STATUSES),
        Index("purchases_party_idx", "party", "archive"),
        Index("purchases_status_idx", "status", "realm", "purchase_ref", "line"),
    )

    realm: Mapped[str] = mapped_column(primary_key=True)
    purchase_ref: Mapped[str] = mapped_column(primary_key=True)
    line: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str | None] = mapped_column(index=True)
    plan_code: Mapped[str | None]
    price: Mapped[str | None]
    quantity: Mapped[int]
    status: Mapped[str]
    ends_at: Mapped[datetime | None]
    payment_ref: Mapped[str | None]
    party: Mapped[str]
    archive: Mapped[str] = mapped_column(server_default=text("''"))


class StoredPayment(Base):
    """One payment, however many events are about it; its history is in ``payment_events``."""

    __tablename__ = "payments"
    __table_args__ = (
        one_of("status", PAYMENT_STATUSES),
        CheckConstraint("amount_minor >= 0", name="amount_minor"),
        CheckConstraint("amount_refunded_minor >= 0", name="amount_refunded_minor"),
        Index("payments_party_idx", "party", "archive"),
        Index("payments_user_id_idx", "user_id", *_NEWEST),
        Index("payments_customer_idx", "stripe_customer_id", *_NEWEST),
        Index("payments_status_idx", "status", *_NEWEST),
        Index("payments_returned_idx", *_NEWEST, postgresql_where=MONEY_BACK),
        {"postgresql_with": UPDATED_OFTEN},
    )

    realm: Mapped[str] = mapped_column(primary_key=True)
    payment_ref: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str | None]
    stripe_customer_id: Mapped[str | None]
    amount_minor: Mapped[int]
    amount_refunded_minor: Mapped[int]
    currency: Mapped[str]
    status: Mapped[str]
    dispute_status: Mapped[str | None]
    invoice_id: Mapped[str | None]
    plan_code: Mapped[str | None]
    inferred: Mapped[bool]
    provisional: Mapped[bool]
    occurred_at: Mapped[datetime]
    party: Mapped[str]
    archive: Mapped[str] = mapped_column(server_default=text("''"))


class UserEntitlement(Base):
    """The entitlements of one user from one source under one plan; a revoked row stays, inactive.

    ``per_seat`` names the features whose numbers add up over sources instead of taking the
    largest; the numbers themselves are already multiplied by the seats.
    """

    __tablename__ = "user_entitlements"
    __table_args__ = (
        Index(
            "user_entitlements_expires_at_idx",
            "expires_at",
            postgresql_where=text("expires_at IS NOT NULL"),
        ),
        Index("user_entitlements_party_idx", "party", "archive"),
        Index(
            "user_entitlements_plan_code_idx",
            "plan_code",
            "user_id",
            "source",
            "realm",
            postgresql_include=["expires_at"],
            postgresql_where=text("active"),
        ),
        Index(
            "user_entitlements_given_idx",
            "user_id",
            text(GIVEN_HASH),
            "expires_at",
            postgresql_where=text("active"),
        ),
        {"postgresql_with": UPDATED_OFTEN},
    )

    user_id: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    plan_code: Mapped[str] = mapped_column(primary_key=True)
    realm: Mapped[str] = mapped_column(primary_key=True)
    entitlements: Mapped[dict[str, Any]]
    per_seat: Mapped[list[str]]
    active: Mapped[bool]
    starts_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    event_id: Mapped[str]
    because: Mapped[str]
    guessed: Mapped[bool]
    catalogue_version: Mapped[int] = mapped_column(Integer)
    updated_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    party: Mapped[str]
    archive: Mapped[str] = mapped_column(server_default=text("''"))
