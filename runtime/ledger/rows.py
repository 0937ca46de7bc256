"""The rows of a projection: their tables, and conversion to and from the database.

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
from runtime.json_text import write_json

Row = CustomerRow | SubscriptionRow | PurchaseRow | PaymentRow | EntitlementRow


class TableName(StrEnum):
    """The tables of projected rows."""

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

_TIMES = ("as_of", "current_period_end", "ends_at", "expires_at", "occurred_at", "starts_at")
_LISTS = frozenset({"per_seat", "prices"})
_STATUSES: Mapping[TableName, Callable[[str], str]] = {
    TableName.PURCHASES: PurchaseStatus,
    TableName.PAYMENTS: PaymentStatus,
}


def rows_of(projection: Projection) -> Rows:
    """Return the rows of a projection by table."""
    return {
        TableName.CUSTOMERS: projection.customers,
        TableName.SUBSCRIPTIONS: projection.subscriptions,
        TableName.PURCHASES: projection.purchases,
        TableName.PAYMENTS: projection.payments,
        TableName.ENTITLEMENTS: projection.entitlements,
    }


def no_rows() -> dict[TableName, dict[Key, Row]]:
    """Return the rows of a party that has never been projected."""
    return {table: {} for table in TableName}


COLUMNS: Mapping[TableName, tuple[str, ...]] = {
    table: tuple(field.name for field in fields(row_type) if field.compare)
    for table, row_type in ROW_TYPES.items()
}
"""The columns that a row fills, by table; what is not compared is not stored."""

_COLUMNS_BY_TYPE = {row_type: COLUMNS[table] for table, row_type in ROW_TYPES.items()}


def to_plain(row: Row) -> dict[str, Any]:
    """Return the row's values by column; ``dumps`` makes JSON of them."""
    return {name: getattr(row, name) for name in _COLUMNS_BY_TYPE[type(row)]}


def from_plain(table: TableName, stored: Mapping[str, Any]) -> Row:
    """Return the stored row; columns that are no part of it are ignored."""
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
    """Return JSON of plain values, times and read-only mappings included."""
    return write_json(value, _plain)


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
