"""Ask which objects of Stripe are known here: those of which there is a fact, archived or not."""

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, text

from billing.ids import ObjectKey, Realm, object_key

_LONGEST_REFERENCE: Final = 25
"""Characters of an order reference; Stripe cuts off the rest of an invoice's id there."""

_AFTER_ANY_ID: Final = "~"
_NOTHING: Final = "\x01"


def find_known(
    connection: Connection, realm: Realm, names: Collection[str], *, run: int
) -> frozenset[str]:
    """Return those of the ids that a fact is about, or that the run holds.

    An id of 25 characters may be cut off.
    """
    listed = sorted(set(names))
    keys = [object_key(realm, name) for name in listed]
    ends = [_AFTER_ANY_ID if len(name) == _LONGEST_REFERENCE else _NOTHING for name in listed]
    values = {"names": listed, "keys": keys, "ends": ends, "run": run}
    return frozenset(connection.scalars(_KNOWN, values)) if listed else frozenset()


def find_named(connection: Connection, realm: Realm, names: Collection[str]) -> frozenset[str]:
    """Return those of the ids that any fact names, whole ones alone."""
    keys = {object_key(realm, name): name for name in names}
    found = connection.scalars(_NAMED, {"keys": [*keys]}) if keys else ()
    return frozenset(keys[ObjectKey(key)] for key in found)


_NAMED: Final = text("SELECT object_key FROM memberships WHERE object_key = ANY(:keys)")
_KNOWN: Final = text(
    "SELECT name FROM unnest(cast(:names AS text[]), cast(:keys AS text[]), cast(:ends AS text[]))"
    " AS asked (name, key, ending) WHERE EXISTS ("
    " SELECT FROM memberships JOIN facts USING (party, object_key)"
    " WHERE memberships.object_key ~>=~ key AND memberships.object_key ~<~ (key || ending))"
    " OR EXISTS (SELECT FROM stripe_run_objects"
    " WHERE run = :run AND object_id ~>=~ name AND object_id ~<~ (name || ending))"
)
