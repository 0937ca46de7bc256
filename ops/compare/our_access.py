"""Read what Paidup grants, user by user, from one snapshot."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, text

from ops.compare.classify import UserOnBothSides, UserStanding
from ops.queries.known_users import known_by_rows
from runtime.ledger.deliveries import STRIPE
from runtime.ledger.maintenance.reproject import CLOCK
from runtime.ledger.write import CHANGES, ENTITLEMENT

_READ_AT_ONCE: Final = 2000
_HEARD: Final = [STRIPE, CLOCK]
"""The actors of changes that an application makes too, only later. It does not hear of what a
person grants here or a backfill finds, so no wait would make both agree."""

_CHANGES: Final = [f"{ENTITLEMENT}.{change}" for change in CHANGES.values()]


def access_by_user(connection: Connection) -> Iterator[tuple[str, str, Any]]:
    """Yield user, feature and value of all access in force, by the code points of users."""
    found = connection.execute(_ACCESS, execution_options={"yield_per": _READ_AT_ONCE})
    yield from ((user_id, feature, value) for user_id, feature, value in found)


def standings(
    connection: Connection, users: Sequence[UserOnBothSides]
) -> Mapping[str, UserStanding]:
    """Return whether each of these users is known, and changed within the hour."""
    named = [user.user_id for user in users]
    values = {"users": named, "heard": _HEARD, "changes": _CHANGES}
    return {
        user_id: UserStanding(known=known, recent=recent)
        for user_id, known, recent in connection.execute(_STANDING, values)
    }


_ACCESS: Final = text(
    "SELECT user_id, feature, value FROM effective_entitlements"
    ' ORDER BY user_id COLLATE "C", feature COLLATE "C"'
)
_STANDING: Final = text(
    f"""
    SELECT given.user_id,
           {known_by_rows("given.user_id")} OR versions.user_id IS NOT NULL AS known,
           EXISTS (SELECT FROM audit_logs AS entry
                   WHERE entry.user_id = given.user_id AND entry.actor = ANY (:heard)
                     AND entry.action = ANY (:changes)
                     AND entry.occurred_at > now() - interval '1 hour')
           OR EXISTS (SELECT FROM user_entitlements AS ended
                      WHERE ended.user_id = given.user_id AND ended.active
                        AND ended.expires_at BETWEEN now() - interval '1 hour' AND now()) AS recent
    FROM unnest(CAST(:users AS text[])) AS given (user_id)
    LEFT JOIN user_versions AS versions ON versions.user_id = given.user_id
    """  # noqa: S608 - our own words
)
