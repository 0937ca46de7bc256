"""Find the parties, and so the events, of a user or a customer."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, select, union

from billing.ids import Realm, object_key, realm_of
from models.tables import (
    AuditLog,
    Membership,
    StoredCustomer,
    StoredPayment,
    StoredPurchase,
    StoredSubscription,
    UserEntitlement,
)
from runtime.database.one_of import one_of
from runtime.settings import Settings

_OWNED = (StoredCustomer, StoredSubscription, StoredPurchase, StoredPayment, UserEntitlement)


OWN_REALMS: Final = (realm_of(None, livemode=True), realm_of(None, livemode=False))
"""The realms of a deployment without connected accounts."""


def configured_realms(settings: Settings) -> tuple[Realm, ...]:
    """Return the realms whose events this deployment accepts."""
    accounts = (None, *sorted(settings.connect_accounts))
    return tuple(realm_of(each, livemode=live) for each in accounts for live in (True, False))


def parties_of_user(connection: Connection, user_id: str) -> frozenset[str]:
    """Return the parties of all rows that name the user."""
    query = union(*(select(table.party).where(table.user_id == user_id) for table in _OWNED))
    return frozenset(connection.scalars(query))


def users_of_parties(connection: Connection, parties: Iterable[str]) -> tuple[str, ...]:
    """Return every user whom a row of these parties names, sorted.

    A checkout that expired unpaid gives its customer no user: its visitor may name any.
    """
    members = list(parties)
    named = (
        select(table.user_id).where(one_of(table.party, members), table.user_id.is_not(None))
        for table in _OWNED
        if table is not StoredPurchase
    )
    bought = select(StoredPurchase.user_id).where(
        one_of(StoredPurchase.party, members),
        StoredPurchase.user_id.is_not(None),
        StoredPurchase.status != "expired",
    )
    return tuple(sorted(connection.scalars(union(*named, bought))))


def parties_of_object(
    connection: Connection, stripe_id: str, within: Iterable[Realm]
) -> frozenset[str]:
    """Return the parties of an object of Stripe, one for each realm that knows it."""
    keys = [object_key(realm, stripe_id) for realm in within]
    query = select(Membership.party).where(one_of(Membership.object_key, keys))
    return frozenset(connection.scalars(query))


def is_named(connection: Connection, user_id: str) -> bool:
    """Return whether any row or audit entry names the user."""
    audited = select(AuditLog.id).where(AuditLog.user_id == user_id).limit(1)
    return bool(parties_of_user(connection, user_id)) or connection.scalar(audited) is not None
