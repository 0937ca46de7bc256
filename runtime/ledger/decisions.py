"""The changes that follow from one event, as values: the closed list of what the ledger can do.

``difference`` makes them, ``write`` writes them, previews show them. ``before_version`` is the
version of the plans beside the grant ``before``, None without one.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from billing.rows import EntitlementRow, Key, PaymentRow
from runtime.ledger.rows import Row, TableName


class MovementKind(StrEnum):
    """The reason why totals changed; ``moved`` money was received before on another row.

    A negative ``received`` is a debit that the bank returned.
    """

    RECEIVED = "received"
    REFUNDED = "refunded"
    REFUND_REVERSED = "refund_reversed"
    MOVED = "moved"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementGranted:
    """A user got something that was not in force before."""

    before: EntitlementRow | None
    after: EntitlementRow
    before_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementChanged:
    """A grant in force has other entitlements or another duration now."""

    before: EntitlementRow
    after: EntitlementRow
    before_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementRevoked:
    """A grant is no longer in force; its row stays while a fact states it."""

    before: EntitlementRow
    after: EntitlementRow | None
    before_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyMoved:
    """The signed change of one payment's totals; ``payment`` is the row it is booked on.

    ``at`` is the second in which the money itself moved.
    """

    movement: MovementKind
    amount_minor: int
    payment: PaymentRow
    at: datetime
    before: PaymentRow | None
    after: PaymentRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A change for the audit that moves neither entitlements nor money."""

    action: str
    target_type: str
    target_id: str
    user_id: str | None
    before: Row | None
    after: Row | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowUpserted:
    """A row is inserted or replaced; ``is_renewal`` means that it says what it said before."""

    table: TableName
    row: Row
    is_renewal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RowDeleted:
    """A row that no fact states any more is deleted: it was provisional or has another key now."""

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
