"""What follows from one event, as values: the closed list of things the ledger can do.

``difference`` makes them, ``write`` obeys them, previews show them.
"""

from dataclasses import dataclass
from enum import StrEnum

from billing.rows import EntitlementRow, Key, PaymentRow
from runtime.ledger.rows import Row, TableName


class Movement(StrEnum):
    """Why a payment's totals changed; ``moved`` money was received before, under another name."""

    RECEIVED = "received"
    REFUNDED = "refunded"
    REFUND_REVERSED = "refund_reversed"
    MOVED = "moved"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementGranted:
    """A user got something that was not in force before."""

    before: EntitlementRow | None
    after: EntitlementRow


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementChanged:
    """What is in force is worth something else now, or lasts longer or shorter."""

    before: EntitlementRow
    after: EntitlementRow


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementRevoked:
    """Something is no longer in force; its row stays unless nothing states it any more."""

    before: EntitlementRow
    after: EntitlementRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyMoved:
    """The signed change of one payment's totals; ``payment`` is the row it is told of."""

    movement: Movement
    amount_minor: int
    payment: PaymentRow
    before: PaymentRow | None
    after: PaymentRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A change that an auditor wants to read of, and that does nothing by itself."""

    action: str
    target_type: str
    target_id: str
    user_id: str | None
    before: Row | None
    after: Row | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowUpserted:
    """A row is as it is now."""

    table: TableName
    row: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class RowDeleted:
    """A row that nothing states any more is gone: provisional, or known by another name now."""

    table: TableName
    key: Key


Decision = (
    EntitlementGranted
    | EntitlementChanged
    | EntitlementRevoked
    | MoneyMoved
    | Noted
    | RowUpserted
    | RowDeleted
)
