"""One-time purchases: their plans and their payments.

A purchase is a checkout in mode ``payment``. It is also a succeeded payment intent or a paid
invoice without checkout and subscription, if its own metadata or lines name a plan.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from billing.catalogue import Plan
from billing.ids import CustomerId
from billing.objects.checkouts import SessionState
from billing.objects.observations import GrantBasis, first_value
from billing.objects.plan_references import LINE_ITEM_TRUST, NO_PLAN_REFERENCE, PlanReference
from billing.objects.store import RealmObjects
from billing.projection.invoices import InvoiceMatch, MatchedPayments
from billing.projection.payments import PaymentObjects
from billing.projection.plan_lookup import PlanLookup
from billing.rows import PurchaseStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTimePurchase:
    """Something bought once."""

    ref: str
    status: PurchaseStatus
    granted: GrantBasis | None
    customer_id: CustomerId | None
    plan_reference: PlanReference
    plans: tuple[Plan, ...]
    all_time_plans: tuple[Plan, ...]
    former_plans: tuple[Plan, ...]
    """Plans that any of its objects named in former catalogues, in their present form if any."""
    paid_by: tuple[str, ...]
    """The payments, then the invoice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentEvidence:
    """The payments and the invoice of a purchase, or one of the two."""

    payments: tuple[PaymentObjects, ...]
    match: InvoiceMatch | None

    @property
    def customer_id(self) -> CustomerId | None:
        """The customer that any of them names."""
        named = [payment.customer_id for payment in self.payments]
        return first_value([*named, self.match.customer_id if self.match else None])

    @property
    def plan_references(self) -> tuple[PlanReference, ...]:
        """The references in their metadata and lines, the payments before the invoice."""
        intents = [payment.intent for payment in self.payments if payment.intent]
        stated = [plan_reference for intent in intents for plan_reference in intent.plan_references]
        invoice = self.match.invoice if self.match else None
        return (*stated, *invoice.plan_references) if invoice else tuple(stated)

    @property
    def refs(self) -> tuple[str, ...]:
        """The references under which their money may have rows."""
        paid = tuple(payment.ref for payment in self.payments)
        return (*paid, self.match.ref) if self.match else paid


def purchases_of(
    objects: RealmObjects, matched: MatchedPayments, lookup: PlanLookup
) -> list[OneTimePurchase]:
    """Return every purchase once; a checkout covers the intent or invoice that it created."""
    found: dict[str, OneTimePurchase] = {}
    for session in sorted(objects.sessions.values(), key=_granted_first):
        if session.mode == "payment":
            purchase = _by_checkout(session, matched, lookup)
            found.setdefault(purchase.ref, purchase)
    billed: set[str] = set()
    for match in matched.matches.values():
        if by_invoice := _by_invoice(match, matched, lookup):
            found[by_invoice.ref] = by_invoice
            billed.update(by_invoice.paid_by)
    for payment in matched.payments.values():
        if payment.ref not in billed and (purchase_of := _by_intent(payment, matched, lookup)):
            found[purchase_of.ref] = purchase_of
    return list(found.values())


def sessions_without_line_items(
    objects: RealmObjects, purchases: Iterable[OneTimePurchase]
) -> list[SessionState]:
    """Return the paid checkouts without any plan whose line items no event has shown."""
    nameless = {purchase.ref for purchase in purchases if purchase.granted and not purchase.plans}
    if not nameless:
        return []
    return [
        session
        for session in objects.sessions.values()
        if session.mode == "payment"
        and (session.payment_intent or session.id) in nameless
        and not any(
            plan_reference.trust == LINE_ITEM_TRUST for plan_reference in session.plan_references
        )
    ]


def _granted_first(session: SessionState) -> tuple[bool, str]:
    return session.granted is None, session.id


def _evidence(
    matched: MatchedPayments, refs: Iterable[str], match: InvoiceMatch | None
) -> PaymentEvidence:
    known = tuple([matched.payments[ref] for ref in sorted(refs) if ref in matched.payments])
    return PaymentEvidence(payments=known, match=match)


def _by_checkout(
    session: SessionState, matched: MatchedPayments, lookup: PlanLookup
) -> OneTimePurchase:
    """Return the purchase of a checkout; if it names no plan, its payments may name one."""
    match = matched.matches.get(session.invoice or session.id)
    named = [session.payment_intent] if session.payment_intent else match.payments if match else []
    evidence = _evidence(matched, named, match)
    plan_reference = session.plan_reference
    if plan_reference is NO_PLAN_REFERENCE:
        plan_reference = _first_sold(evidence.plan_references, lookup)
    if session.granted:
        lookup.note_unknown_reference(plan_reference)
    return OneTimePurchase(
        ref=session.payment_intent or session.id,
        status=session.status,
        granted=session.granted,
        customer_id=first_value((session.customer_id, evidence.customer_id)),
        plan_reference=plan_reference,
        plans=lookup.plans_named_by(plan_reference),
        all_time_plans=_plans_in(
            (*session.plan_references, *evidence.plan_references), lookup.plans_named_by
        ),
        former_plans=_plans_in(
            (*session.plan_references, *evidence.plan_references), lookup.former_plans_named_by
        ),
        paid_by=evidence.refs,
    )


def _first_sold(plan_references: Iterable[PlanReference], lookup: PlanLookup) -> PlanReference:
    """Return the first reference to a plan that is sold, else to one that was sold formerly."""
    plan_references = tuple(plan_references)
    sold = (each for each in plan_references if lookup.plans_named_by(each))
    formerly_sold = (each for each in plan_references if lookup.former_plans_named_by(each))
    return next(sold, None) or next(formerly_sold, NO_PLAN_REFERENCE)


def _plans_in(
    plan_references: Iterable[PlanReference],
    plans_named_by: Callable[[PlanReference], tuple[Plan, ...]],
) -> tuple[Plan, ...]:
    plans = {plan.code: plan for each in plan_references for plan in plans_named_by(each)}
    return tuple(plans.values())


def _by_invoice(
    match: InvoiceMatch, matched: MatchedPayments, lookup: PlanLookup
) -> OneTimePurchase | None:
    """Return the purchase of a paid invoice, unless it belongs to a checkout or subscription.

    It takes the name of its payment if there is only one.
    """
    invoice = match.invoice
    if invoice is None or invoice.granted is None or _has_owner(match):
        return None
    evidence = _evidence(matched, match.payments, match)
    if any(_belongs_elsewhere(payment, matched) for payment in evidence.payments):
        return None
    only = match.payments[0] if len(match.payments) == 1 else invoice.id
    return _purchase_without_checkout(only, evidence, invoice.granted, lookup)


def _by_intent(
    payment: PaymentObjects, matched: MatchedPayments, lookup: PlanLookup
) -> OneTimePurchase | None:
    """Return the purchase of a succeeded intent, unless it belongs to something else."""
    intent = payment.intent
    if intent is None or intent.granted is None or _belongs_elsewhere(payment, matched):
        return None
    return _purchase_without_checkout(
        payment.ref, _evidence(matched, (payment.ref,), None), intent.granted, lookup
    )


def _belongs_elsewhere(payment: PaymentObjects, matched: MatchedPayments) -> bool:
    """Return True if a checkout or a subscription explains the payment."""
    matches = matched.matches_of.get(payment.ref, ())
    return bool(payment.sessions) or any(_has_owner(match) for match in matches)


def _has_owner(match: InvoiceMatch) -> bool:
    return bool(match.session or match.subscription)


def _purchase_without_checkout(
    ref: str, evidence: PaymentEvidence, granted: GrantBasis, lookup: PlanLookup
) -> OneTimePurchase | None:
    plan_reference = _first_sold(evidence.plan_references, lookup)
    if plan_reference is NO_PLAN_REFERENCE:
        return None
    plans = lookup.plans_named_by(plan_reference)
    if not plans:
        lookup.note_unknown_reference(plan_reference)
    return OneTimePurchase(
        ref=ref,
        status=PurchaseStatus.PAID,
        granted=granted,
        customer_id=evidence.customer_id,
        plan_reference=plan_reference,
        plans=plans,
        all_time_plans=_plans_in(evidence.plan_references, lookup.plans_named_by),
        former_plans=_plans_in(evidence.plan_references, lookup.former_plans_named_by),
        paid_by=evidence.refs,
    )
