"""Query what is around an object of Stripe: the events that name it, and objects they name."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from billing.ids import ObjectKey, Realm, object_key, stripe_id_of

MAX_NAMING: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class NamingFact:
    """A fact that is about an object, or names it: an event, and the object that the fact states.

    ``event_id`` may be the id of an API observation.
    """

    event_id: str
    event_type: str
    created_at: datetime
    kind: str
    stripe_id: str


def facts_naming(
    connection: Connection, party: str, realm: str, stripe_id: str
) -> tuple[NamingFact, ...]:
    """Return the newest facts of a party that are about an object or name it."""
    key = object_key(Realm(realm), stripe_id)
    values = {"party": party, "key": key, "limit": MAX_NAMING}
    return tuple(
        NamingFact(
            event_id=row.event_id,
            event_type=row.event_type,
            created_at=row.created_at,
            kind=row.kind,
            stripe_id=stripe_id_of(ObjectKey(row.object_key)),
        )
        for row in connection.execute(_NAMING, values)
    )


def ids_named_by(connection: Connection, stripe_id: str, realms: Sequence[Realm]) -> frozenset[str]:
    """Return the ids of Stripe that facts about an object name, such as a charge its payment."""
    keys = [object_key(realm, stripe_id) for realm in realms]
    found = connection.scalars(_NAMED_BY, {"keys": keys})
    return frozenset(stripe_id_of(ObjectKey(key)) for key in found)


_NAMING: Final = text(
    "SELECT event_id, event_type, created_at, kind, object_key FROM facts WHERE party = :party"
    " AND (object_key = :key OR jsonb_exists(fact -> 'mentions', :key))"
    " ORDER BY created_at DESC, event_id DESC LIMIT :limit"
)
_NAMED_BY: Final = text(
    "SELECT DISTINCT jsonb_array_elements_text(fact -> 'mentions') FROM memberships"
    " JOIN facts USING (party, object_key) WHERE object_key = ANY(:keys) LIMIT 100"
)
