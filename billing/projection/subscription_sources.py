"""Every subscription with the objects that describe it: snapshots, checkouts and invoices."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from billing.ids import CustomerId
from billing.objects.checkouts import SessionState
from billing.objects.invoices import InvoiceState
from billing.objects.observations import GrantBasis, first_value
from billing.objects.store import RealmObjects
from billing.objects.subscriptions import SubscriptionState
from billing.projection.ownership import Ownership


class PaidCheckout(NamedTuple):
    """A paid checkout that began a subscription."""

    session: SessionState
    granted: GrantBasis


class SubscriptionSource(NamedTuple):
    """A subscription with its snapshot, the paid checkout that began it, and its invoices."""

    id: str
    customer_id: CustomerId | None
    snapshot: SubscriptionState | None
    checkout: PaidCheckout | None
    invoices: tuple[InvoiceState, ...]
    failed_charges: Mapping[str, tuple[datetime, ...]]
    """The times of failed charges by the invoice for which Stripe made them.

    Of each invoice that is still to be paid, where the beginning of grace follows from them: where
    the subscription was past due before anything showed it.
    """

    @property
    def failures(self) -> tuple[datetime, ...]:
        """The times at which the payment of an invoice failed."""
        return tuple(at for invoice in self.invoices for at in invoice.failures)


def sources_of(objects: RealmObjects, ownership: Ownership) -> list[SubscriptionSource]:
    """Return every subscription that a snapshot or a checkout names."""
    known = sorted(ownership.subscriptions_of_checkouts | objects.subscriptions.keys())
    return [_source(objects, ownership, each) for each in known]


def _source(
    objects: RealmObjects, ownership: Ownership, subscription_id: str
) -> SubscriptionSource:
    snapshot = objects.subscriptions.get(subscription_id)
    checkouts = sorted(ownership.checkouts_of(subscription_id), key=_by_id)
    invoices = sorted(ownership.invoices_of(subscription_id), key=_by_id)
    described_by = (*((snapshot,) if snapshot else ()), *checkouts, *invoices)
    return SubscriptionSource(
        id=subscription_id,
        customer_id=first_value([each.customer_id for each in described_by]),
        snapshot=snapshot,
        checkout=_newest_paid(checkouts),
        invoices=tuple(invoices),
        failed_charges=_failed_charges(objects, invoices)
        if snapshot and snapshot.first_seen_past_due
        else {},
    )


def _failed_charges(
    objects: RealmObjects, invoices: Iterable[InvoiceState]
) -> dict[str, tuple[datetime, ...]]:
    failed = [charge for charge in objects.charges.values() if charge.failed_at]
    collected = [each for each in invoices if each.unpaid_since and not each.sent]
    names = {invoice.id: _names_of_payments(objects, invoice) for invoice in collected}
    return {
        invoice: tuple(
            charge.first_at
            for charge in failed
            if known & {charge.id, charge.payment_intent, charge.invoice}
        )
        for invoice, known in names.items()
    }


def _names_of_payments(objects: RealmObjects, invoice: InvoiceState) -> frozenset[str]:
    """Return the names by which a charge belongs to an invoice: its own, and of its payments."""
    linked = [each for each in objects.invoice_payments.values() if each.invoice == invoice.id]
    refs = (each.payment_ref for each in linked if each.payment_ref)
    return frozenset((invoice.id, *invoice.payment_refs, *refs))


def _by_id(source: SessionState | InvoiceState) -> str:
    return source.id


def _newest_paid(checkouts: Iterable[SessionState]) -> PaidCheckout | None:
    paid = [PaidCheckout(session, session.granted) for session in checkouts if session.granted]
    return max(paid, key=lambda checkout: checkout.granted.since, default=None)
