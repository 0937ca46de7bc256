"""Read users' entitlements as documents: one statement, one round trip, one snapshot.

PostgreSQL builds the documents, from the view and the rows that applications read. The statement
finds everything by ``user_id`` in an index, and is prepared once for each connection.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine

from billing.ids import CustomerId, Realm, object_key
from billing.text import storable
from ops.console.connections import ask
from ops.queries.known_users import known_by_rows

_EPOCH: Final = "SELECT coalesce((SELECT epoch FROM database_epoch WHERE one_row), '') AS epoch"

# The view decides what is in force. A grant that reached its end is revoked from that moment on,
# not only once the timed task has cleared ``active``. Updates of archives are rare, so the
# user's rows are looked at only while there is one.
_DOCUMENTS: Final = """
SELECT document.known, document.body::text, document.epoch
FROM unnest(%(user_ids)s::text[]) WITH ORDINALITY AS asked (user_id, place) CROSS JOIN LATERAL (
    WITH merged AS (
        SELECT feature, value, expires_at FROM effective_entitlements
        WHERE user_id = asked.user_id
    ), granted AS (
        SELECT json_agg(
            json_build_object(
                'source', one.source,
                'plan_code', one.plan_code,
                'status', CASE
                    WHEN NOT one.active OR one.expires_at <= now() THEN 'revoked'
                    ELSE 'active'
                END,
                'features', one.entitlements,
                'starts_at', one.starts_at,
                'expires_at', one.expires_at,
                'because', json_build_object('event_id', one.event_id, 'type', CASE
                    WHEN starts_with(one.event_id, 'obs_') THEN 'api_observation'
                    ELSE event.type
                END),
                'realm', one.realm,
                'catalogue_version', one.catalogue_version
            ) ORDER BY one.starts_at, one.source, one.plan_code, one.realm
        ) AS grants
        FROM user_entitlements AS one LEFT JOIN stripe_events AS event ON event.id = one.event_id
        WHERE one.user_id = asked.user_id
    ), seen AS (
        SELECT grants,
            <known> AS known
        FROM granted
    )
    SELECT known, present.epoch, json_build_object(
        'user_id', asked.user_id,
        'known', known,
        'version', coalesce((SELECT version FROM user_versions WHERE user_id = asked.user_id), 0),
        'epoch', present.epoch,
        'features', (SELECT coalesce(json_object_agg(feature, value ORDER BY feature), '{}')
                     FROM merged),
        'features_expire_at', (SELECT coalesce(json_object_agg(feature, expires_at
                                                               ORDER BY feature), '{}')
                               FROM merged),
        'grants', coalesce(grants, '[]'),
        'catalogue_version', (SELECT max(version) FROM catalogues),
        'pending_update', CASE WHEN EXISTS (SELECT FROM archive_updates) THEN (
            SELECT json_build_object('since', began_at, 'event_id', event_id) FROM archive_updates
            WHERE party IN (
                SELECT party FROM user_entitlements WHERE user_id = asked.user_id
                UNION ALL SELECT party FROM customers WHERE user_id = asked.user_id
            ) ORDER BY began_at, party LIMIT 1
        ) END
    ) AS body
    FROM seen CROSS JOIN (<epoch>) AS present
) AS document
ORDER BY asked.place
""".replace("<known>", known_by_rows("asked.user_id")).replace("<epoch>", _EPOCH)

# A subscription or payment may name another user than its customer does.
_USERS_OF_CUSTOMER: Final = """
WITH its AS MATERIALIZED (
    SELECT party FROM memberships WHERE object_key = ANY(%(keys)s::text[])
), named AS (
    SELECT user_id FROM customers JOIN its USING (party) WHERE stripe_customer_id = %(customer)s
    UNION
    SELECT user_id FROM subscriptions JOIN its USING (party)
    WHERE stripe_customer_id = %(customer)s
    UNION
    SELECT user_id FROM payments JOIN its USING (party) WHERE stripe_customer_id = %(customer)s
)
SELECT EXISTS (SELECT FROM its), ARRAY(
    SELECT user_id FROM named WHERE user_id IS NOT NULL ORDER BY user_id LIMIT %(limit)s
), (<epoch>)
""".replace("<epoch>", _EPOCH)

MAX_USERS: Final = 100
"""Users in one document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A JSON document; ``known`` is true if Paidup knows the customer, or one of the users.

    The versions in it count under ``epoch``.
    """

    body: bytes
    known: bool
    epoch: str


class Entitlements:
    """Reads documents from PostgreSQL, over a few connections that stay open.

    Each method raises ``SQLAlchemyError`` if the database does not answer in time.
    """

    def __init__(self, engine: Engine, realms: Sequence[Realm]) -> None:
        """Take the realms in which a customer is looked for."""
        self._engine = engine
        self._realms = realms

    def of_user(self, user_id: str) -> Document:
        """Return the entitlements of one user."""
        [document] = ask(self._engine, lambda connection: _documents(connection, [user_id]))
        return document

    def of_users(self, user_ids: Sequence[str]) -> Document:
        """Return the entitlements of several users, each once, in the order they are named."""
        named = list(dict.fromkeys(user_ids))
        documents = ask(self._engine, lambda connection: _documents(connection, named))
        known, epoch = any(each.known for each in documents), documents[0].epoch
        return Document(body=_joined(documents, {"epoch": epoch}), known=known, epoch=epoch)

    def of_customer(self, customer_id: str) -> Document:
        """Return the entitlements of the users of a Stripe customer, sorted by user id.

        A customer has several users if its subscriptions or payments name others than itself.
        ``more`` is true in the document if there are more than ``MAX_USERS``.
        """
        return ask(self._engine, lambda connection: self._of_customer(connection, customer_id))

    def _of_customer(self, connection: Connection, customer_id: str) -> Document:
        customer = CustomerId(storable(customer_id))
        keys = [object_key(realm, customer) for realm in self._realms]
        values = {"keys": keys, "customer": customer, "limit": MAX_USERS + 1}
        known, users, epoch = connection.exec_driver_sql(_USERS_OF_CUSTOMER, values).one()
        documents = _documents(connection, users[:MAX_USERS])
        if documents:  # read by a later statement, perhaps under another epoch
            epoch = documents[0].epoch
        more = len(users) > MAX_USERS
        stated = {"customer": customer, "known": known, "more": more, "epoch": epoch}
        return Document(body=_joined(documents, stated), known=known, epoch=epoch)


def _documents(connection: Connection, user_ids: Iterable[str]) -> list[Document]:
    stored = [storable(user_id) for user_id in user_ids]
    rows = connection.exec_driver_sql(_DOCUMENTS, {"user_ids": stored}) if stored else ()
    return [Document(body=body.encode(), known=known, epoch=epoch) for known, body, epoch in rows]


def _joined(documents: Iterable[Document], stated: Mapping[str, object]) -> bytes:
    """Return one document with what is stated about all of these."""
    every = b", ".join(document.body for document in documents)
    return b'%b, "entitlements": [%b]}' % (json.dumps(stated)[:-1].encode(), every)
