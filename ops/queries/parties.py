"""Which parties, and so which events, are about a user or a customer."""

from collections.abc import Iterable

from sqlalchemy import Connection, select, union

from billing.ids import Realm, object_key, realm_of
from models.tables import (
    AuditLog,
    Customer,
    Membership,
    Payment,
    Purchase,
    Subscription,
    UserEntitlement,
)
from runtime.settings import Settings

_OWNED = (Customer, Subscription, Purchase, Payment, UserEntitlement)


def realms(settings: Settings) -> tuple[Realm, ...]:
    """The realms whose events this deployment counts."""
    accounts = (None, *sorted(settings.connect_accounts))
    return tuple(realm_of(each, livemode=live) for each in accounts for live in (True, False))


def parties_of_user(connection: Connection, user_id: str) -> frozenset[str]:
    """The parties of everything that is or ever was said to be the user's."""
    query = union(*(select(table.party).where(table.user_id == user_id) for table in _OWNED))
    return frozenset(connection.scalars(query))


def parties_of_customer(
    connection: Connection, customer_id: str, within: Iterable[Realm]
) -> frozenset[str]:
    """The parties a customer belongs to, one for each realm that knows it."""
    keys = [object_key(realm, customer_id) for realm in within]
    query = select(Membership.party).where(Membership.object_key.in_(keys))
    return frozenset(connection.scalars(query))


def is_known(connection: Connection, user_id: str) -> bool:
    """Whether any fact ever named this user."""
    audited = select(AuditLog.id).where(AuditLog.user_id == user_id).limit(1)
    return bool(parties_of_user(connection, user_id)) or connection.scalar(audited) is not None
