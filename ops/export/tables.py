"""Read what someone who leaves Paidup takes along, row by row from one snapshot."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from models.tables import (
    AuditLog,
    PaymentEvent,
    StoredPayment,
    UserEntitlement,
    effective_entitlements,
)
from ops.export.formats import ExportRow
from ops.terminal.money import decimals

_READ_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class TableExport:
    """The rows of one export, in the order of its query; ``columns`` names what is written.

    A column of ``computed`` follows from the stored ones.
    """

    noun: str
    query: Select[Any]
    columns: tuple[str, ...]
    computed: Mapping[str, Callable[[ExportRow], object]] = field(default_factory=dict)

    def count(self, connection: Connection) -> int:
        """Return the number of rows."""
        rows = self.query.order_by(None).subquery()
        return connection.scalar(select(func.count()).select_from(rows)) or 0

    def rows(self, connection: Connection) -> Iterator[ExportRow]:
        """Yield each row; no more than a thousand are in memory at once."""
        found = connection.execute(self.query, execution_options={"yield_per": _READ_AT_ONCE})
        for mapping in found.mappings():
            row = dict(mapping)
            yield row | {name: compute(row) for name, compute in self.computed.items()}


def _in_force() -> ColumnElement[bool]:
    ends = UserEntitlement.expires_at
    return UserEntitlement.active & or_(ends.is_(None), ends > func.now())


def _decimals(row: ExportRow) -> int:
    return decimals(row["currency"])


EXPORTS: Final[Mapping[str, TableExport]] = {
    "features": TableExport(
        noun="feature",
        query=select(effective_entitlements).order_by("user_id", "feature"),
        columns=("user_id", "feature", "value", "expires_at"),
    ),
    "entitlements": TableExport(
        noun="entitlement",
        query=select(
            UserEntitlement.__table__,
            UserEntitlement.entitlements.label("features"),
            _in_force().label("in_force"),
        ).order_by(
            UserEntitlement.user_id,
            UserEntitlement.source,
            UserEntitlement.plan_code,
            UserEntitlement.realm,
        ),
        columns=(
            *("user_id", "source", "plan_code", "realm", "features", "per_seat", "in_force"),
            *("active", "starts_at", "expires_at", "because", "guessed", "event_id"),
            *("catalogue_version", "updated_at"),
        ),
    ),
    "payments": TableExport(
        noun="payment",
        query=select(StoredPayment.__table__).order_by(
            StoredPayment.realm, StoredPayment.payment_ref
        ),
        columns=(
            *("realm", "payment_ref", "user_id", "stripe_customer_id", "invoice_id", "plan_code"),
            *("amount_minor", "amount_refunded_minor", "currency", "decimals", "status"),
            *("dispute_status", "inferred", "provisional", "occurred_at"),
        ),
        computed={"decimals": _decimals},
    ),
    "movements": TableExport(
        noun="movement of money",
        query=select(PaymentEvent.__table__).order_by(PaymentEvent.id),
        columns=(
            *("id", "realm", "payment_ref", "kind", "amount_minor", "currency", "decimals"),
            *("user_id", "plan_code", "event_id", "event_type", "occurred_at"),
        ),
        computed={"decimals": _decimals},
    ),
    "audit": TableExport(
        noun="entry",
        query=select(AuditLog.__table__).order_by(AuditLog.id),
        columns=tuple(AuditLog.__table__.columns.keys()),
    ),
}
"""The exports by the names of their commands."""
