"""Find whom a person means by a user id, an id of Stripe or an e-mail address.

A user id may look like either of the others, so a user whom a row names comes first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, Select, select, union

from billing.ids import Realm
from billing.readers.search_terms import Named, email_term, is_stripe_id
from models.tables import (
    Membership,
    SearchTerm,
    StoredCustomer,
    StoredPayment,
    StoredPurchase,
    StoredSubscription,
)
from ops.errors import CommandFailed
from ops.queries.known_users import is_known
from ops.queries.parties import is_named, parties_of_object, parties_of_user, users_of_parties
from runtime.database.one_of import one_of

_MAX_NAMED: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Everything under which an event may name the one whom a text means.

    ``users`` is empty if no event named a user yet. ``known`` is false if no settled event names
    the text, or only an abandoned checkout names it as its user.
    """

    text: str
    known: bool
    users: tuple[str, ...]
    parties: frozenset[str]
    email: str | None
    """The text as an address, in lower case."""

    def named_by(self, named: Named) -> bool:
        """Return whether an event that names all this names the text, or one of its users."""
        if self.text in named.ids or (self.email is not None and self.email in named.emails):
            return True
        return not named.users.isdisjoint({self.text, *self.users})


def look_up(connection: Connection, realms: Sequence[Realm], text: str) -> Lookup:
    """Return whom the text means."""
    email = email_term(text)
    if is_named(connection, text):
        known, parties = is_known(connection, text), parties_of_user(connection, text)
        return Lookup(text=text, known=known, users=(text,), parties=parties, email=email)
    parties = _parties_named(connection, realms, text, email)
    return Lookup(
        text=text,
        known=bool(parties),
        users=_users_of_object(connection, text, parties) or users_of_parties(connection, parties),
        parties=parties,
        email=email,
    )


def look_up_each(
    connection: Connection, realms: Sequence[Realm], *, user: str | None, customer: str | None
) -> dict[str, Lookup]:
    """Return whom the ``user`` and the ``customer`` of a filter mean, as far as it has them.

    What names the user of a customer need not be about the customer.
    """
    found = {}
    if user is not None:
        found["user"] = look_up(connection, realms, user)
    if customer is not None:
        found["customer"] = replace(look_up(connection, realms, customer), users=())
    return found


def user_meant(connection: Connection, realms: Sequence[Realm], text: str) -> str:
    """Return the only user whom the text means; the text itself if there is none.

    Raises:
        CommandFailed: if the text means several users.
    """
    users = look_up_one(connection, realms, text).users
    return users[0] if users else text


def look_up_one(connection: Connection, realms: Sequence[Realm], text: str) -> Lookup:
    """Return whom the text means, which is one user at most.

    Raises:
        CommandFailed: if the text means several users.
    """
    lookup = look_up(connection, realms, text)
    if (count := len(lookup.users)) > 1:
        more = f" and {count - _MAX_NAMED} more" if count > _MAX_NAMED else ""
        named = ", ".join(lookup.users[:_MAX_NAMED])
        raise CommandFailed(f"{text} has {count} users, name one of them: {named}{more}")
    return lookup


def _parties_named(
    connection: Connection, realms: Sequence[Realm], text: str, email: str | None
) -> frozenset[str]:
    if is_stripe_id(text):
        return parties_of_object(connection, text, realms)
    if email is not None:
        return frozenset(connection.scalars(parties_by_email(email)))
    return frozenset()


def parties_by_email(email: str) -> Select[str]:
    """Return the query for the parties of the objects that bear an address."""
    # A dead letter is no object, so an address that only dead letters name has no party.
    bears = SearchTerm.object_key == Membership.object_key
    query = select(Membership.party).join(SearchTerm, bears)
    return query.where(SearchTerm.term == email, SearchTerm.kind == "email")


def _users_of_object(
    connection: Connection, stripe_id: str, parties: frozenset[str]
) -> tuple[str, ...]:
    """Return the users whom the object's own row names: others of its customer are not meant."""
    names = (
        (StoredCustomer, StoredCustomer.stripe_customer_id),
        (StoredSubscription, StoredSubscription.stripe_subscription_id),
        (StoredPayment, StoredPayment.payment_ref),
        (StoredPayment, StoredPayment.invoice_id),
        (StoredPurchase, StoredPurchase.purchase_ref),
        (StoredPurchase, StoredPurchase.payment_ref),
    )
    query = union(
        *(
            select(table.user_id).where(
                one_of(table.party, parties), column == stripe_id, table.user_id.is_not(None)
            )
            for table, column in names
        )
    )
    return tuple(sorted(connection.scalars(query)))
