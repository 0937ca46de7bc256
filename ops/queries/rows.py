"""Query the projected rows of users, as the values that a projection makes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Connection, SQLColumnExpression, TextClause, select

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
from runtime.database.one_of import one_of
from runtime.ledger.decisions import EntitlementChanged, EntitlementGranted, EntitlementRevoked
from runtime.ledger.rows import ROW_TYPES, Row, TableName, from_plain
from runtime.ledger.write import CHANGES

_TABLE_OF: Final[Mapping[type[Row], TableName]] = {kind: name for name, kind in ROW_TYPES.items()}

T = TypeVar("T")
R = TypeVar("R", CustomerRow, SubscriptionRow, PurchaseRow, PaymentRow, EntitlementRow)


def read_row(row_type: type[R], stored: Mapping[str, Any]) -> R:
    """Return a stored row; columns that are no part of it are ignored."""
    row = from_plain(_TABLE_OF[row_type], stored)
    assert isinstance(row, row_type)  # noqa: S101 - the table says so
    return row


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantChange:
    """One grant that changes: granted, changed or revoked."""

    change: str
    source: str
    plan_code: str
    before: EntitlementRow | None
    after: EntitlementRow | None

    @classmethod
    def of(
        cls, decision: EntitlementGranted | EntitlementChanged | EntitlementRevoked
    ) -> "GrantChange":
        """Return the change that the ledger decided."""
        before, after = decision.before, decision.after
        row, change = row_of(before, after), CHANGES[type(decision)]
        return cls(
            change=change, source=row.source, plan_code=row.plan_code, before=before, after=after
        )

    @property
    def user_id(self) -> UserId:
        """The user who has, had or gets the grant."""
        return row_of(self.before, self.after).user_id


def row_of(before: R | None, after: R | None) -> R:
    """Return the row that a change is about, as it is after the change if it is still there."""
    row = after or before
    assert row is not None, "a change has at least one side"  # noqa: S101 - for the reader
    return row


def fetch(
    connection: Connection,
    shape: type[T],
    model: type[Base],
    *conditions: ColumnElement[bool] | TextClause,
    order_by: Iterable[SQLColumnExpression[Any]] = (),
    limit: int | None = None,
) -> tuple[T, ...]:
    """Return the rows that match; ``shape`` is a dataclass of some columns of ``model``.

    They are ordered by primary key unless ``order_by`` says otherwise.
    """
    columns = [getattr(model, each.name) for each in fields(shape)]  # type: ignore[arg-type]
    query = select(*columns).where(*conditions).limit(limit)
    ordered = query.order_by(*order_by or model.__table__.primary_key)
    return tuple(shape(**row) for row in connection.execute(ordered).mappings())


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
    for row in load_rows(connection, EntitlementRow, one_of(UserEntitlement.user_id, users)):
        grants.setdefault(row.user_id, {})[row.key] = row
    return grants
