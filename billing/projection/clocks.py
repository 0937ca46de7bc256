"""The present moment of each customer.

A customer with a test clock lives in the clock's time, with everything under it. Stripe's billing
objects are dated by that clock, payment intents and charges by the real one:
https://docs.stripe.com/billing/testing/test-clocks, https://github.com/stripe/stripe-python/issues/1183.
No event tells the time of a clock, so it is the newest time that the customer's own subscriptions
and invoices state, where that is later than the real one.
"""

from collections.abc import Iterator
from datetime import datetime

from billing.ids import CustomerId
from billing.objects.store import RealmObjects


class Clocks:
    """The real time, and the time of the customers with a test clock."""

    def __init__(self, objects: RealmObjects, now: datetime) -> None:
        self._now = now
        self._moments: dict[CustomerId, datetime] = {}
        clocked = _customers_with_clock(objects)
        if clocked:
            for customer_id, moment in _moments(objects):
                if customer_id in clocked and moment > self.now_of(customer_id):
                    self._moments[customer_id] = moment

    def now_of(self, customer_id: CustomerId | None) -> datetime:
        """Return the present moment of a customer; that of the real clock without a customer."""
        return self._moments.get(customer_id, self._now) if customer_id else self._now


def _customers_with_clock(objects: RealmObjects) -> frozenset[CustomerId]:
    """Return the customers that anything of theirs says to have a test clock."""
    clocked = [CustomerId(each) for each, customer in objects.customers.items() if customer.clocked]
    clocked += [
        s.customer_id for s in objects.subscriptions.values() if s.clocked and s.customer_id
    ]
    clocked += [i.customer_id for i in objects.invoices.values() if i.clocked and i.customer_id]
    return frozenset(clocked)


def _moments(objects: RealmObjects) -> Iterator[tuple[CustomerId, datetime]]:
    for subscription in objects.subscriptions.values():
        if subscription.customer_id:
            yield subscription.customer_id, subscription.latest_moment
    for invoice in objects.invoices.values():
        if invoice.customer_id:
            yield invoice.customer_id, invoice.latest_moment
