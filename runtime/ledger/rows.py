"""The rows a projection consists of: their tables, and their way into the database and back.

Rows are read as JSON, which PostgreSQL makes of its columns; ``bulk`` sends them column by column.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from billing.rows import (
    CustomerRow,
    EntitlementRow,
    Key,
    PaymentRow,
    PaymentStatus,
    Projection,
    PurchaseRow,
    PurchaseStatus,
    SubscriptionRow,
)
from runtime.json_text import written

Row = CustomerRow | SubscriptionRow | PurchaseRow | PaymentRow | EntitlementRow


class TableName(StrEnum):
    """The tables of what follows from facts."""

    CUSTOMERS = "customers"
    SUBSCRIPTIONS = "subscriptions"
    PURCHASES = "purchases"
    PAYMENTS = "payments"
    ENTITLEMENTS = "user_entitlements"


Rows = Mapping[TableName, Mapping[Key, Row]]

ROW_TYPES: Mapping[TableName, type[Row]] = {
    TableName.CUSTOMERS: CustomerRow,
    TableName.SUBSCRIPTIONS: SubscriptionRow,
    TableName.PURCHASES: PurchaseRow,
    TableName.PAYMENTS: PaymentRow,
    TableName.ENTITLEMENTS: EntitlementRow,
}

_TIMES = ("as_of", "current_period_end", "expires_at", "occurred_at", "starts_at")
_LISTS = frozenset({"per_seat", "prices"})
_STATUSES: Mapping[TableName, Callable[[str], str]] = {
    TableName.PURCHASES: PurchaseStatus,
    TableName.PAYMENTS: PaymentStatus,
}


def rows_of(projection: Projection) -> Rows:
    """The rows of a projection by table."""
    return {
        TableName.CUSTOMERS: projection.customers,
        TableName.SUBSCRIPTIONS: projection.subscriptions,
        TableName.PURCHASES: projection.purchases,
        TableName.PAYMENTS: projection.payments,
        TableName.ENTITLEMENTS: projection.entitlements,
    }


def no_rows() -> dict[TableName, dict[Key, Row]]:
    """A party nobody has projected yet."""
    return {table: {} for table in TableName}


COLUMNS: Mapping[TableName, tuple[str, ...]] = {
    table: tuple(field.name for field in fields(row_type)) for table, row_type in ROW_TYPES.items()
}
"""The columns that a row fills, by table."""

_COLUMNS_BY_TYPE = {row_type: COLUMNS[table] for table, row_type in ROW_TYPES.items()}


def to_plain(row: Row) -> dict[str, Any]:
    """The row as JSON-able values by column, once ``dumps`` has written the times."""
    return {name: getattr(row, name) for name in _COLUMNS_BY_TYPE[type(row)]}


def from_plain(table: TableName, stored: Mapping[str, Any]) -> Row:
    """The row that was stored; columns of the table that are no part of it are left alone."""
    values = {name: stored[name] for name in COLUMNS[table]}
    for name in _TIMES:
        if isinstance(values.get(name), str):
            values[name] = datetime.fromisoformat(values[name])
    for name in _LISTS & values.keys():
        values[name] = tuple(values[name])
    if table in _STATUSES:
        values["status"] = _STATUSES[table](values["status"])
    return ROW_TYPES[table](**values)


def dumps(value: Any) -> str:
    """JSON of plain values, times and read-only mappings included."""
    return written(value, _plain)


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat()
        case Mapping():
            return dict(value)
        case Iterable():
            return sorted(value)
        case _:
            raise TypeError(f"{type(value).__name__} does not go into a row")
