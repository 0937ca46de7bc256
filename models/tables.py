"""Every table by name, and the metadata that holds them all: import from here."""

from sqlalchemy import Column, DateTime, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from models.base import Base
from models.catalogues import StoredCatalogue
from models.dead_letters import DeadLetter
from models.events import Membership, Party, StoredFact, StripeEvent
from models.proof import AuditLog, AuditSeal, PaymentEvent
from models.state import Customer, Payment, Purchase, Subscription, UserEntitlement

metadata = Base.metadata

APPEND_ONLY = ("audit_logs", "audit_seals", "payment_events")
"""Tables whose rows nobody may change or take away."""

effective_entitlements = Table(
    "effective_entitlements",
    MetaData(),  # a view: the migrations own it, so Alembic must not take it for a missing table
    Column("user_id", Text),
    Column("feature", Text),
    Column("value", JSONB),
    Column("expires_at", DateTime(timezone=True)),
)

__all__ = [
    "APPEND_ONLY",
    "AuditLog",
    "AuditSeal",
    "Customer",
    "DeadLetter",
    "Membership",
    "Party",
    "Payment",
    "PaymentEvent",
    "Purchase",
    "StoredCatalogue",
    "StoredFact",
    "StripeEvent",
    "Subscription",
    "UserEntitlement",
    "effective_entitlements",
    "metadata",
]
