"""Tell which users are known: the same for the read API and for ``paidup explain``.

A payment link lets its visitor name any user, so an abandoned checkout makes no user known.
"""

from typing import Final

from sqlalchemy import Connection, text

_BY_ROWS: Final = """(
    EXISTS (SELECT FROM user_entitlements WHERE user_id = {user})
    OR EXISTS (SELECT FROM customers WHERE user_id = {user})
    OR EXISTS (SELECT FROM subscriptions WHERE user_id = {user})
    OR EXISTS (SELECT FROM purchases WHERE user_id = {user} AND status <> 'expired')
    OR EXISTS (SELECT FROM payments WHERE user_id = {user}
               AND (status <> 'canceled' OR amount_minor > 0))
)"""


def known_by_rows(user: str) -> str:
    """Return the condition in SQL that rows make a user known; ``user`` is the SQL for the id."""
    return _BY_ROWS.format(user=user)


def is_known(connection: Connection, user_id: str) -> bool:
    """Return whether rows make the user known, or did at an earlier time by the audit."""
    return bool(connection.scalar(_KNOWN, {"user_id": user_id}))


_KNOWN: Final = text(
    f"SELECT {known_by_rows(':user_id')} OR EXISTS (SELECT FROM audit_logs"  # noqa: S608 - ours
    " WHERE user_id = :user_id AND action NOT IN ('purchase.expired', 'payment.canceled'))"
)
