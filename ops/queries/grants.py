"""What users have now, row by row, in force or not."""

from collections.abc import Iterable

from sqlalchemy import Connection, select

from billing.ids import UserId
from billing.rows import EntitlementRow, Key
from models.tables import UserEntitlement
from runtime.ledger.rows import TableName, from_plain


def grants_of(
    connection: Connection, users: Iterable[UserId]
) -> dict[UserId, dict[Key, EntitlementRow]]:
    """The rows of those of these users who have any."""
    query = select(UserEntitlement.__table__).where(UserEntitlement.user_id.in_(list(users)))
    standing: dict[UserId, dict[Key, EntitlementRow]] = {}
    for found in connection.execute(query).mappings():
        row = from_plain(TableName.ENTITLEMENTS, dict(found))
        assert isinstance(row, EntitlementRow)  # noqa: S101 - the table says so
        standing.setdefault(row.user_id, {})[row.key] = row
    return standing
