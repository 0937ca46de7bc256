"""One-time purchases: which there are, what they name, and which money paid for them.

A purchase is a checkout in mode ``payment``, or a succeeded payment intent or paid invoice without
checkout and subscription whose own metadata or lines name a plan.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from billing.catalogue import Plan
from billing.ids import CustomerId
from billing.objects.checkouts import Session
from billing.objects.observations import NOBODY, Granting, Said, first
from billing.objects.plan_references import LISTED, NOTHING_OFFERED, Offer
from billing.objects.store import Objects
from billing.projection.invoices import Bill, Books
from billing.projection.payments import Payment
from billing.projection.plan_lookup import Shelf
from billing.rows import PurchaseStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """Something bought once; ``said`` speaks for its user, ``copies`` where nothing else does."""

    ref: str
    status: PurchaseStatus
    granted: Granting | None
    customer_id: CustomerId | None
    said: Said
    copies: tuple[Said, ...]
    offer: Offer
    plans: tuple[Plan, ...]
    plans_ever: tuple[Plan, ...]
    plans_before: tuple[Plan, ...]
    """Plans that any of its papers named by catalogues of before, or by that of record."""
    paid_by: tuple[str, ...]
    """The payments, then the bill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Papers:
    """A bill and its payments, or one of the two: what money knows of a purchase."""

    payments: tuple[Payment, ...]
    bill: Bill | None

    @property
    def customer_id(self) -> CustomerId | None:
        """The customer that any of them names."""
        named = [payment.customer_id for payment in self.payments]
        return first([*named, self.bill.customer_id if self.bill else None])

    @property
    def copies(self) -> tuple[Said, ...]:
        """The users whom copies of metadata on them name."""
        copied = [attempt.said for payment in self.payments for attempt in payment.attempts]
        invoice = self.bill.invoice if self.bill else None
        return (*copied, invoice.said) if invoice else tuple(copied)

    @property
    def offers(self) -> tuple[Offer, ...]:
        """What their metadata and lines name, the payments before the bill."""
        intents = [payment.intent for payment in self.payments if payment.intent]
        stated = [offer for intent in intents for offer in intent.offers]
        invoice = self.bill.invoice if self.bill else None
        return (*stated, *invoice.offers) if invoice else tuple(stated)

    @property
    def refs(self) -> tuple[str, ...]:
        """The references under which their money may stand in rows."""
        paid = tuple(payment.ref for payment in self.payments)
        return (*paid, self.bill.ref) if self.bill else paid


def purchases_of(objects: Objects, books: Books, shelf: Shelf) -> list[Purchase]:
    """Every purchase once; a checkout speaks for the payment intent or invoice it created."""
    found: dict[str, Purchase] = {}
    for session in sorted(objects.sessions.values(), key=_speaks_first):
        if session.mode == "payment":
            purchase = _by_checkout(session, books, shelf)
            found.setdefault(purchase.ref, purchase)
    billed: set[str] = set()
    for bill in books.bills.values():
        if purchase_of_bill := _by_bill(bill, books, shelf):
            found[purchase_of_bill.ref] = purchase_of_bill
            billed.update(purchase_of_bill.paid_by)
    for payment in books.payments.values():
        if payment.ref not in billed and (purchase_of := _by_intent(payment, books, shelf)):
            found[purchase_of.ref] = purchase_of
    return list(found.values())


def unlisted(objects: Objects, purchases: Iterable[Purchase]) -> list[Session]:
    """Checkouts that are paid for, name no plan in any way, and whose line items nobody saw."""
    nameless = {purchase.ref for purchase in purchases if purchase.granted and not purchase.plans}
    if not nameless:
        return []
    return [
        session
        for session in objects.sessions.values()
        if session.mode == "payment"
        and (session.payment_intent or session.id) in nameless
        and not any(offer.trust == LISTED for offer in session.offers)
    ]


def _speaks_first(session: Session) -> tuple[bool, str]:
    return session.granted is None, session.id


def _papers(books: Books, refs: Iterable[str], bill: Bill | None) -> Papers:
    known = tuple([books.payments[ref] for ref in sorted(refs) if ref in books.payments])
    return Papers(payments=known, bill=bill)


def _by_checkout(session: Session, books: Books, shelf: Shelf) -> Purchase:
    """A checkout that names no plan at all lets what it created name one."""
    bill = books.bills.get(session.invoice or session.id)
    named = [session.payment_intent] if session.payment_intent else bill.payments if bill else []
    papers = _papers(books, named, bill)
    offer = session.offer
    if offer is NOTHING_OFFERED:
        offer = _naming(papers.offers, shelf)
    if session.granted:
        shelf.note_unknown_offer(offer)
    return Purchase(
        ref=session.payment_intent or session.id,
        status=session.status,
        granted=session.granted,
        customer_id=first((session.customer_id, papers.customer_id)),
        said=session.said,
        copies=papers.copies,
        offer=offer,
        plans=shelf.plans_offered(offer),
        plans_ever=_plans_in((*session.offers, *papers.offers), shelf.plans_offered),
        plans_before=_plans_in((*session.offers, *papers.offers), shelf.plans_formerly_offered),
        paid_by=papers.refs,
    )


def _naming(offers: Iterable[Offer], shelf: Shelf) -> Offer:
    """The first offer that names a plan which is sold, else one that was."""
    offers = tuple(offers)
    sold = (offer for offer in offers if shelf.plans_offered(offer))
    was_sold = (offer for offer in offers if shelf.plans_formerly_offered(offer))
    return next(sold, None) or next(was_sold, NOTHING_OFFERED)


def _plans_in(
    offers: Iterable[Offer], offered_by: Callable[[Offer], tuple[Plan, ...]]
) -> tuple[Plan, ...]:
    plans = {plan.code: plan for offer in offers for plan in offered_by(offer)}
    return tuple(plans.values())


def _by_bill(bill: Bill, books: Books, shelf: Shelf) -> Purchase | None:
    """A paid invoice that is nobody else's; it goes by its payment if that is the only one."""
    invoice = bill.invoice
    if invoice is None or invoice.granted is None or _is_checkouts(bill):
        return None
    papers = _papers(books, bill.payments, bill)
    if any(_spoken_for(payment, books) for payment in papers.payments):
        return None
    only = bill.payments[0] if len(bill.payments) == 1 else invoice.id
    return _unasked(only, papers, invoice.granted, shelf)


def _by_intent(payment: Payment, books: Books, shelf: Shelf) -> Purchase | None:
    """A succeeded payment intent that is nobody else's."""
    intent = payment.intent
    if intent is None or intent.granted is None or _spoken_for(payment, books):
        return None
    return _unasked(payment.ref, _papers(books, (payment.ref,), None), intent.granted, shelf)


def _spoken_for(payment: Payment, books: Books) -> bool:
    """Whether a checkout or a subscription says what a payment is for."""
    bills = books.bills_of.get(payment.ref, ())
    return bool(payment.sessions) or any(_is_checkouts(bill) for bill in bills)


def _is_checkouts(bill: Bill) -> bool:
    return bool(bill.session or bill.subscription)


def _unasked(ref: str, papers: Papers, granted: Granting, shelf: Shelf) -> Purchase | None:
    offer = _naming(papers.offers, shelf)
    if offer is NOTHING_OFFERED:
        return None
    plans = shelf.plans_offered(offer)
    if not plans:
        shelf.note_unknown_offer(offer)
    return Purchase(
        ref=ref,
        status=PurchaseStatus.PAID,
        granted=granted,
        customer_id=papers.customer_id,
        said=NOBODY,
        copies=papers.copies,
        offer=offer,
        plans=plans,
        plans_ever=_plans_in(papers.offers, shelf.plans_offered),
        plans_before=_plans_in(papers.offers, shelf.plans_formerly_offered),
        paid_by=papers.refs,
    )
