"""Query the projected rows of users, as the values that a projection makes."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Connection, select

from billing.ids import UserId
from billing.rows import (
    CustomerRow,
    EntitlementRow,
    Key,
    PaymentRow,
    PurchaseRow,
    SubscriptionRow,
)
from models.base import Base
from models.tables import UserEntitlement
from runtime.ledger.rows import ROW_TYPES, Row, TableName, from_plain

_TABLE_OF: Final[Mapping[type[Row], TableName]] = {kind: name for name, kind in ROW_TYPES.items()}

T = TypeVar("T")
R = TypeVar("R", CustomerRow, SubscriptionRow, PurchaseRow, PaymentRow, EntitlementRow)


def read_row(row_type: type[R], stored: Mapping[str, Any]) -> R:
    """Return a stored row; columns that are no part of it are ignored."""
    row = from_plain(_TABLE_OF[row_type], stored)
    assert isinstance(row, row_type)  # noqa: S101 - the table says so
    return row


def row_of(before: R | None, after: R | None) -> R:
    """Return the row that a change is about, as it is after the change if it is still there."""
    row = after or before
    assert row is not None, "a change has at least one side"  # noqa: S101 - for the reader
    return row


def fetch(
    connection: Connection, shape: type[T], model: type[Base], condition: ColumnElement[bool]
) -> tuple[T, ...]:
    """Return the rows that match, by primary key; ``shape`` is a dataclass of some columns."""
    columns = [getattr(model, each.name) for each in fields(shape)]  # type: ignore[arg-type]
    query = select(*columns).where(condition).order_by(*model.__table__.primary_key)
    return tuple(shape(**row) for row in connection.execute(query).mappings())


def load_rows(
    connection: Connection, row_type: type[R], condition: ColumnElement[bool]
) -> tuple[R, ...]:
    """Return the rows of one table that meet the condition, in the order of their keys."""
    table = Base.metadata.tables[_TABLE_OF[row_type]]
    found = connection.execute(select(table).where(condition)).mappings()
    return tuple(
        sorted((read_row(row_type, dict(each)) for each in found), key=lambda row: row.key)
    )


def load_grants(
    connection: Connection, users: Iterable[UserId]
) -> dict[UserId, dict[Key, EntitlementRow]]:
    """Return the current grants of each user who has any, in force or not."""
    grants: dict[UserId, dict[Key, EntitlementRow]] = {}
    for row in load_rows(connection, EntitlementRow, UserEntitlement.user_id.in_(list(users))):
        grants.setdefault(row.user_id, {})[row.key] = row
    return grants
