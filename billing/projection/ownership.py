"""The user of each object: by its own reference, else by the customer's link, else by a copy.

A subscription names its own user, and a session the user of what it bought. The customer's link
(its newest ``metadata.user_id``, else that of its newest session) serves objects that name no user.
A session that expired unpaid names no user for its customer: to begin a checkout proves nothing.
Copies on invoices, payment intents and charges count only where nothing else names a user. When the
customer's own ``metadata.user_id`` changes from one user to another, every older reference moves
too.
"""

from collections import defaultdict
from collections.abc import Iterable

from billing.ids import CustomerId, UserId
from billing.objects.checkouts import SessionState
from billing.objects.invoices import InvoiceState
from billing.objects.observations import (
    NO_REFERENCES,
    UserReference,
    UserReferences,
    all_users_named,
    first_value,
)
from billing.objects.store import RealmObjects
from billing.rows import PurchaseStatus


class Ownership:
    """The present user of each object of a party, and all its earlier users."""

    def __init__(self, objects: RealmObjects) -> None:
        self._objects = objects
        self._checkouts: dict[str, list[SessionState]] = defaultdict(list)
        self._sessions: dict[CustomerId, list[SessionState]] = defaultdict(list)
        self._invoices: dict[str, list[InvoiceState]] = defaultdict(list)
        for session in objects.sessions.values():
            if session.customer_id and session.status is not PurchaseStatus.EXPIRED:
                self._sessions[session.customer_id].append(session)
            if session.subscription:
                self._checkouts[session.subscription].append(session)
        for invoice in objects.invoices.values():
            if invoice.subscription:
                self._invoices[invoice.subscription].append(invoice)

    @property
    def subscriptions_of_checkouts(self) -> frozenset[str]:
        """Subscriptions that a checkout names, paid or not."""
        return frozenset(self._checkouts)

    def checkouts_of(self, subscription: str) -> list[SessionState]:
        """Return the checkouts that began a subscription."""
        return self._checkouts.get(subscription, [])

    def invoices_of(self, subscription: str) -> list[InvoiceState]:
        """Return the invoices of a subscription."""
        return self._invoices.get(subscription, [])

    def user_of_customer(self, customer_id: CustomerId | None) -> UserId | None:
        """Return the user of the customer's link."""
        if customer_id is None:
            return None
        own = self._own(customer_id).newest
        stated = own or newest_reference(
            [session.user_references for session in self._sessions.get(customer_id, ())]
        )
        return stated.user_id if stated else None

    def all_users_of_customer(self, customer_id: CustomerId | None) -> frozenset[UserId]:
        """Return every user whom the customer's link could ever have named."""
        if customer_id is None:
            return frozenset()
        sessions = self._sessions.get(customer_id, ())
        return all_users_named(
            self._own(customer_id), *[session.user_references for session in sessions]
        )

    def reference_for(self, subscription: str) -> UserReference | None:
        """Return the user reference of a subscription, else that of its checkout."""
        snapshot = self._objects.subscriptions.get(subscription)
        own = snapshot.user_references.newest if snapshot else None
        return own or newest_reference(
            session.user_references for session in self.checkouts_of(subscription)
        )

    def user_of_subscription(
        self, subscription: str, customer_id: CustomerId | None
    ) -> UserId | None:
        """Return the user of a subscription."""
        copies = (invoice.user_references for invoice in self.invoices_of(subscription))
        return self.resolve((self.reference_for(subscription),), customer_id, copies)

    def all_users_of_subscription(
        self, subscription: str, customer_id: CustomerId | None
    ) -> frozenset[UserId]:
        """Return every user to whom a subscription was ever assigned."""
        snapshot = self._objects.subscriptions.get(subscription)
        user_references = [snapshot.user_references] if snapshot else []
        user_references += [session.user_references for session in self.checkouts_of(subscription)]
        user_references += [invoice.user_references for invoice in self.invoices_of(subscription)]
        return all_users_named(*user_references) | self.all_users_of_customer(customer_id)

    def resolve(
        self,
        statements: Iterable[UserReference | None],
        customer_id: CustomerId | None,
        copies: Iterable[UserReferences],
    ) -> UserId | None:
        """Return the user of the first reference, else of the customer's link, else of a copy.

        A reference that is older than the customer's move to another user moves too.
        """
        stated = first_value(statements)
        if stated:
            return self._after_move(stated, customer_id)
        linked = self.user_of_customer(customer_id)
        if linked:
            return linked
        copied = newest_reference(copies)
        return copied.user_id if copied else None

    def _after_move(self, stated: UserReference, customer_id: CustomerId | None) -> UserId:
        customer = self._objects.customers.get(customer_id or "")
        if (
            customer
            and customer.moved_at
            and customer.user_references.newest
            and stated.since < customer.moved_at
        ):
            return customer.user_references.newest.user_id
        return stated.user_id

    def _own(self, customer_id: CustomerId) -> UserReferences:
        customer = self._objects.customers.get(customer_id)
        return customer.user_references if customer else NO_REFERENCES


def newest_reference(references: Iterable[UserReferences]) -> UserReference | None:
    """Return the newest reference; within a second, the one of the lower user id."""
    stated = [each.newest for each in references if each.newest]
    if len(stated) > 1:  # rare: copies are read last
        stated.sort(key=lambda statement: statement.user_id)
        stated.sort(key=lambda statement: statement.since, reverse=True)
    return stated[0] if stated else None
