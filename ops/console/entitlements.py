"""Read a user's entitlements as one document: one statement, one round trip, one snapshot.

PostgreSQL builds the document, from the view and the rows that applications read. The statement
finds everything by ``user_id`` in an index, and is prepared once for each connection.
"""

from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from billing.text import storable
from runtime.database.deadline import NoAnswer

# A payment link lets its visitor name any user, so an abandoned checkout makes no user known.
# The view decides what is in force. A grant that reached its end is revoked from that moment on,
# not only once the timed task has cleared ``active``.
_DOCUMENT: Final = """
WITH merged AS (
    SELECT feature, value, expires_at FROM effective_entitlements WHERE user_id = %(user_id)s
), granted AS (
    SELECT json_agg(
        json_build_object(
            'source', one.source,
            'plan_code', one.plan_code,
            'status', CASE
                WHEN NOT one.active OR one.expires_at <= now() THEN 'revoked'
                WHEN one.starts_at > now() THEN 'scheduled'
                ELSE 'active'
            END,
            'features', one.entitlements,
            'starts_at', one.starts_at,
            'expires_at', one.expires_at,
            'because', json_build_object('event_id', one.event_id, 'type', event.type),
            'realm', one.realm,
            'catalogue_version', one.catalogue_version
        ) ORDER BY one.starts_at, one.source, one.plan_code, one.realm
    ) AS grants
    FROM user_entitlements AS one LEFT JOIN stripe_events AS event ON event.id = one.event_id
    WHERE one.user_id = %(user_id)s
)
SELECT json_build_object(
    'user_id', %(user_id)s::text,
    'features', (SELECT coalesce(json_object_agg(feature, value ORDER BY feature), '{}')
                 FROM merged),
    'features_expire_at', (SELECT coalesce(json_object_agg(feature, expires_at ORDER BY feature),
                                           '{}') FROM merged),
    'grants', coalesce(grants, '[]'),
    'catalogue_version', (SELECT max(version) FROM catalogues)
)::text
FROM granted
WHERE grants IS NOT NULL
    OR EXISTS (SELECT FROM customers WHERE user_id = %(user_id)s)
    OR EXISTS (SELECT FROM subscriptions WHERE user_id = %(user_id)s)
    OR EXISTS (SELECT FROM purchases WHERE user_id = %(user_id)s AND status <> 'expired')
    OR EXISTS (SELECT FROM payments WHERE user_id = %(user_id)s
               AND (status <> 'canceled' OR amount_minor > 0))
"""


class Entitlements:
    """Reads documents from PostgreSQL, over a few connections that stay open."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, user_id: str) -> bytes | None:
        """Return the document, None for an unknown user.

        Raises:
            SQLAlchemyError: if the database did not answer in time.
        """
        stored_id = storable(user_id)
        try:
            return self._read(stored_id)
        except DBAPIError as error:
            if not error.connection_invalidated or isinstance(error.orig, NoAnswer):
                raise
        # The connection was idle while PostgreSQL restarted. The pool has replaced all of them.
        return self._read(stored_id)

    def _read(self, user_id: str) -> bytes | None:
        with self._engine.connect() as connection:
            found = connection.exec_driver_sql(_DOCUMENT, {"user_id": user_id}).scalar()
        return None if found is None else str(found).encode()
