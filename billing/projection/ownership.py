"""Whose something is: the fact's own statement, else the customer's link, else a copy.

A subscription speaks for itself and a session for what it bought. The customer's link (its own
newest ``metadata.user_id``, else its newest session's) serves whatever says nothing. Copies on
invoices, payment intents and charges count where nothing else does. When the customer's own
``metadata.user_id`` changes from one user to another, everything stated before that moves too.
"""

from collections import defaultdict
from collections.abc import Iterable

from billing.ids import CustomerId, UserId
from billing.objects.checkouts import Session
from billing.objects.invoices import Invoice
from billing.objects.observations import NOBODY, Said, Statement, first, users_ever
from billing.objects.store import Objects


class Users:
    """Answers whose each object of a party is, and whose it has ever been said to be."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._buyers: dict[str, list[Session]] = defaultdict(list)
        self._sessions: dict[CustomerId, list[Session]] = defaultdict(list)
        self._bills: dict[str, list[Invoice]] = defaultdict(list)
        for session in objects.sessions.values():
            if session.customer_id:
                self._sessions[session.customer_id].append(session)
            if session.subscription:
                self._buyers[session.subscription].append(session)
        for invoice in objects.invoices.values():
            if invoice.subscription:
                self._bills[invoice.subscription].append(invoice)

    @property
    def subscriptions_begun(self) -> frozenset[str]:
        """Subscriptions that a checkout names, paid or not."""
        return frozenset(self._buyers)

    def buyers_of(self, subscription: str) -> list[Session]:
        """The checkouts that began a subscription."""
        return self._buyers.get(subscription, [])

    def bills_of(self, subscription: str) -> list[Invoice]:
        """The invoices that a subscription caused."""
        return self._bills.get(subscription, [])

    def of_customer(self, customer_id: CustomerId | None) -> UserId | None:
        """The customer's link, which serves facts without a statement."""
        if customer_id is None:
            return None
        own = self._own(customer_id).newest
        stated = own or newest([session.said for session in self._sessions.get(customer_id, ())])
        return stated.user_id if stated else None

    def ever_of_customer(self, customer_id: CustomerId | None) -> frozenset[UserId]:
        """Everybody whom the customer's link could have named at some time."""
        if customer_id is None:
            return frozenset()
        sessions = self._sessions.get(customer_id, ())
        return users_ever(self._own(customer_id), *[session.said for session in sessions])

    def stated_for(self, subscription: str) -> Statement | None:
        """What a subscription says of itself, else what the checkout that began it says."""
        itself = self._objects.subscriptions.get(subscription)
        own = itself.said.newest if itself else None
        return own or newest(session.said for session in self.buyers_of(subscription))

    def of_subscription(self, subscription: str, customer_id: CustomerId | None) -> UserId | None:
        """Whose a subscription is."""
        copies = (invoice.said for invoice in self.bills_of(subscription))
        return self.settle((self.stated_for(subscription),), customer_id, copies)

    def ever_of_subscription(
        self, subscription: str, customer_id: CustomerId | None
    ) -> frozenset[UserId]:
        """Everybody whose a subscription has ever been said to be."""
        itself = self._objects.subscriptions.get(subscription)
        said = [itself.said] if itself else []
        said += [session.said for session in self.buyers_of(subscription)]
        said += [invoice.said for invoice in self.bills_of(subscription)]
        return users_ever(*said) | self.ever_of_customer(customer_id)

    def settle(
        self,
        statements: Iterable[Statement | None],
        customer_id: CustomerId | None,
        copies: Iterable[Said],
    ) -> UserId | None:
        """The first statement there is, moved where the customer moved; else link, else copy."""
        stated = first(statements)
        if stated:
            return self._moved(stated, customer_id)
        linked = self.of_customer(customer_id)
        if linked:
            return linked
        copied = newest(copies)
        return copied.user_id if copied else None

    def _moved(self, stated: Statement, customer_id: CustomerId | None) -> UserId:
        customer = self._objects.customers.get(customer_id or "")
        if customer and customer.moved and customer.said.newest and stated.made_at < customer.moved:
            return customer.said.newest.user_id
        return stated.user_id

    def _own(self, customer_id: CustomerId) -> Said:
        customer = self._objects.customers.get(customer_id)
        return customer.said if customer else NOBODY


def newest(sayings: Iterable[Said]) -> Statement | None:
    """The statement made last; of two made in one second, the one of the lower user id."""
    stated = [each.newest for each in sayings if each.newest]
    if len(stated) > 1:  # hardly ever: copies of one statement are asked last
        stated.sort(key=lambda statement: statement.user_id)
        stated.sort(key=lambda statement: statement.made_at, reverse=True)
    return stated[0] if stated else None
