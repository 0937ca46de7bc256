"""All tables by name, and the metadata that holds them: import from here."""

from sqlalchemy import BigInteger, Column, DateTime, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from models.append_only import AuditLog, PaymentEvent
from models.base import Base
from models.bulk import BulkDifference, BulkItem, BulkPlan, BulkUser
from models.catalogues import StoredCatalogue
from models.changes import NumberedChange, WaitingChange
from models.console_access import ConsoleAuditWindow, ConsoleSession
from models.data_loss import DatabaseEpoch, DataLoss, LostSettlement
from models.dead_letters import DeadLetter
from models.events import (
    ArchiveKey,
    ArchiveNote,
    ArchiveUpdate,
    Membership,
    Party,
    StoredFact,
    StoredObservation,
    StripeEvent,
)
from models.idempotency import IdempotencyKey
from models.projected import (
    StoredCustomer,
    StoredPayment,
    StoredPurchase,
    StoredSubscription,
    UserEntitlement,
)
from models.schema_release import SchemaRelease
from models.search_terms import SearchTerm
from models.statements import StoredStatement
from models.stripe_runs import (
    ReconciledDay,
    StripeRun,
    StripeRunDifference,
    StripeRunObject,
    StripeRunPage,
    StripeRunRange,
)
from models.user_versions import UserVersion

metadata = Base.metadata

APPEND_ONLY = ("audit_logs", "numbered_changes", "operator_statements", "payment_events")
"""Tables whose rows can be neither changed nor deleted."""

_views = MetaData()
"""The views; the migration makes them, so Alembic must not take them for missing tables."""

effective_entitlements = Table(
    "effective_entitlements",
    _views,
    Column("user_id", Text),
    Column("feature", Text),
    Column("value", JSONB),
    Column("expires_at", DateTime(timezone=True)),
)

entitlement_changes = Table(
    "entitlement_changes",
    _views,
    Column("cursor", BigInteger),
    Column("user_id", Text),
    Column("source", Text),
    Column("plan_code", Text),
    Column("change", Text),
    Column("before", JSONB),
    Column("after", JSONB),
    Column("event_id", Text),
    Column("reason", Text),
    Column("occurred_at", DateTime(timezone=True)),
    Column("version", BigInteger),
    Column("epoch", Text),
)

entitlement_versions = Table(
    "entitlement_versions",
    _views,
    Column("user_id", Text),
    Column("version", BigInteger),
    Column("changed_at", DateTime(timezone=True)),
    Column("epoch", Text),
)

entitlement_epoch = Table(
    "entitlement_epoch",
    _views,
    Column("epoch", Text),
    Column("cursor", BigInteger),
)

VIEWS = tuple(_views.tables)
"""The views that applications read; their names are part of the contract."""

__all__ = [
    "APPEND_ONLY",
    "VIEWS",
    "ArchiveKey",
    "ArchiveNote",
    "ArchiveUpdate",
    "AuditLog",
    "BulkDifference",
    "BulkItem",
    "BulkPlan",
    "BulkUser",
    "ConsoleAuditWindow",
    "ConsoleSession",
    "DataLoss",
    "DatabaseEpoch",
    "DeadLetter",
    "IdempotencyKey",
    "LostSettlement",
    "Membership",
    "NumberedChange",
    "Party",
    "PaymentEvent",
    "ReconciledDay",
    "SchemaRelease",
    "SearchTerm",
    "StoredCatalogue",
    "StoredCustomer",
    "StoredFact",
    "StoredObservation",
    "StoredPayment",
    "StoredPurchase",
    "StoredStatement",
    "StoredSubscription",
    "StripeEvent",
    "StripeRun",
    "StripeRunDifference",
    "StripeRunObject",
    "StripeRunPage",
    "StripeRunRange",
    "UserEntitlement",
    "UserVersion",
    "WaitingChange",
    "effective_entitlements",
    "entitlement_changes",
    "entitlement_epoch",
    "entitlement_versions",
    "metadata",
]
