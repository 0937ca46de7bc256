"""Query the current grants of users, in force or not."""

from collections.abc import Iterable

from sqlalchemy import Connection, select

from billing.ids import UserId
from billing.rows import EntitlementRow, Key
from models.tables import UserEntitlement
from runtime.ledger.rows import TableName, from_plain


def load_grants(
    connection: Connection, users: Iterable[UserId]
) -> dict[UserId, dict[Key, EntitlementRow]]:
    """Return the grants of each user who has any."""
    query = select(UserEntitlement.__table__).where(UserEntitlement.user_id.in_(list(users)))
    grants: dict[UserId, dict[Key, EntitlementRow]] = {}
    for found in connection.execute(query).mappings():
        row = from_plain(TableName.ENTITLEMENTS, dict(found))
        assert isinstance(row, EntitlementRow)  # noqa: S101 - the table says so
        grants.setdefault(row.user_id, {})[row.key] = row
    return grants
