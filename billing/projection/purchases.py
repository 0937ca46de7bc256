"""Purchases: what was bought once, what paid for it, and under which reference it stands.

A purchase is a checkout in mode ``payment``, or an invoice with lines that buy a plan, the invoice
of a subscription included: a checkout that begins a subscription may hold one-time prices, which
stand on its first invoice. Without checkout, invoice and subscription it is a succeeded payment
intent, or a charge without an intent, whose own metadata names a plan.

Where a former catalogue sees a purchase and the present one sees none, or not all of its lines, its
plans stay known without lines: they have rows, which are not in force.

A payment that is known decides whether a purchase is paid. A checkout speaks only while none is:
under manual capture it stays ``unpaid`` for ever.
https://docs.stripe.com/payments/place-a-hold-on-a-payment-method
https://docs.stripe.com/payments/checkout/fulfill-orders
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import NamedTuple

from billing.catalogue import Plan
from billing.ids import CustomerId
from billing.objects.checkouts import SessionState
from billing.objects.invoices import InvoiceState
from billing.objects.observations import GrantBasis, first_value, newest_of
from billing.objects.payment_intents import AttemptState
from billing.objects.plan_references import PlanReference, reference_of_line
from billing.objects.store import RealmObjects
from billing.objects.subscriptions import SubscriptionState
from billing.projection.invoices import InvoiceMatch, MatchedPayments, may_be_invoice
from billing.projection.payments import PaymentObjects
from billing.projection.plan_lookup import PlanLookup
from billing.projection.purchase_lines import (
    BoughtLine,
    SubscriptionPlans,
    lines_of_checkout,
    lines_of_invoice,
    may_buy,
    named_otherwise,
    note_unsold_lines,
    plans_of,
)
from billing.projection.sold_plans import NO_PLAN, first_known, sold_plan
from billing.projection.subscription_plans import plans_of_runs
from billing.rows import NoGrant, PaymentStatus, PurchaseStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTimePurchase:
    """All that one checkout, invoice or payment bought."""

    ref: str
    status: PurchaseStatus
    granted: GrantBasis | None
    """Set while it is paid."""
    paid_at: datetime | None
    """The second of the money, from which a plan that lasts some days is counted."""
    customer_id: CustomerId | None
    lines: tuple[BoughtLine, ...]
    all_time_plans: tuple[Plan, ...]
    former_plans: tuple[Plan, ...]
    """Plans that any of its objects named in former catalogues, in their present form if any."""
    paid_by: tuple[str, ...]
    """The payments, then the invoice."""
    invoice: InvoiceState | None
    session: SessionState | None

    @property
    def plans(self) -> tuple[Plan, ...]:
        """The plans of its lines, once each."""
        return plans_of(self.lines)


class Purchases(NamedTuple):
    """All purchases of a realm, and what may have bought something else.

    ``former`` has what a former catalogue saw bought where the present one drops a line or all. It
    comes without lines, for the rows of its plans alone, and the oldest catalogue's first.
    A payment that waits for its invoice names one that no event has shown.
    ``assumed`` are the paid checkouts whose line items may differ from what is assumed of them.
    """

    bought: tuple[OneTimePurchase, ...]
    former: tuple[OneTimePurchase, ...]
    awaiting_invoice: frozenset[str]
    assumed: frozenset[str]

    @property
    def ever_bought(self) -> tuple[OneTimePurchase, ...]:
        """All purchases, the present ones last: of two rows of one plan the later stands."""
        return (*self.former, *self.bought)


class _Context(NamedTuple):
    objects: RealmObjects
    matched: MatchedPayments
    lookup: PlanLookup
    plans: SubscriptionPlans


_Find = Callable[[_Context], OneTimePurchase | None]
"""Returns what one object bought by the catalogue of a context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    """The payments and the invoice of a purchase.

    ``linked`` are the payments that a link names. ``inferred`` is one that only its customer, its
    amount and its time match: it serves the sum of money alone.
    """

    linked: tuple[PaymentObjects, ...]
    inferred: tuple[str, ...]
    match: InvoiceMatch | None
    received: MatchedPayments

    @property
    def invoice(self) -> InvoiceState | None:
        """The invoice, if any event has shown it."""
        return self.match.invoice if self.match else None

    @property
    def customer_id(self) -> CustomerId | None:
        """The customer that any of them names."""
        named = [payment.customer_id for payment in self.linked]
        return first_value([*named, self.match.customer_id if self.match else None])

    @property
    def stated(self) -> tuple[PlanReference, ...]:
        """The names in their own metadata, the payments before the invoice."""
        intents = [payment.intent for payment in self.linked if payment.intent]
        named = [reference for intent in intents for reference in intent.stated]
        return (*named, *self.invoice.stated) if self.invoice else tuple(named)

    @property
    def refs(self) -> tuple[str, ...]:
        """The references under which their money may have rows."""
        paid = (*[payment.ref for payment in self.linked], *self.inferred)
        return (*paid, self.match.ref) if self.match else paid

    @property
    def paid(self) -> list[PaymentObjects]:
        """The linked payments that brought money."""
        return [each for each in self.linked if each.ref in self.received.received]

    @property
    def paid_at(self) -> datetime | None:
        """The second of the last of the money: the payments' own, else the invoice's.

        The money of a payment that only a checkout or an invoice payment names is the invoice's.
        """
        known = any(each.attempts for each in self.paid)
        if not known and self.invoice and self.invoice.granted:
            return self.invoice.granted.since
        return max((self.received.received[each.ref].at for each in self.paid), default=None)

    @property
    def granted(self) -> GrantBasis | None:
        """The payments as the basis of a grant, if they brought money."""
        bases = [
            attempt.granted for each in self.paid for attempt in each.attempts if attempt.granted
        ]
        if not bases or self.paid_at is None:
            return None
        return GrantBasis(self.paid_at, newest_of(basis.newest for basis in bases))

    @property
    def went_back(self) -> bool:
        """True if payments are known and none of them brought money, or kept it."""
        return any(each.attempts for each in self.linked) and not self.paid

    @property
    def was_returned(self) -> bool:
        """True if a bank took back what a payment had brought, as it may with debits."""
        gone = [each for each in self.linked if each.ref not in self.received.received]
        return any(attempt.returned_at for each in gone for attempt in each.attempts)

    @property
    def amount_received(self) -> int:
        """The money that the linked payments brought and kept."""
        return sum(self.received.received[each.ref].amount for each in self.paid)

    @property
    def only_ref(self) -> str | None:
        """The one payment under which a purchase stands; of several the one that brought money."""
        refs = [each.ref for each in self.paid] or [each.ref for each in self.linked]
        return refs[0] if len(refs) == 1 else None


@dataclass(slots=True)
class _Found:
    """The purchases found so far; of two under one reference the first stays."""

    context: _Context
    bought: dict[str, OneTimePurchase] = field(default_factory=dict)
    former: list[OneTimePurchase] = field(default_factory=list)

    def add(self, find: _Find) -> OneTimePurchase | None:
        """Add and return what one object bought, and what it bought by former catalogues."""
        purchase, plans = find(self.context), self.context.plans
        if plans.drops_former_plan:
            plans.drops_former_plan = False
            self.former += self._by_former(find)
        if purchase:
            self.bought.setdefault(purchase.ref, purchase)
        return purchase

    def _by_former(self, find: _Find) -> Iterator[OneTimePurchase]:
        """Yield what each former catalogue sees bought, with its plans in their present form."""
        for plans in self.context.plans.former():
            before = find(self.context._replace(lookup=plans.lookup, plans=plans))
            if before and before.ref not in self.bought:
                named = (*before.former_plans, *before.all_time_plans)
                present = {p.code: self.context.lookup.in_present_form(p) for p in named}
                yield replace(
                    before, lines=(), all_time_plans=(), former_plans=tuple(present.values())
                )


def purchases_of(
    objects: RealmObjects, matched: MatchedPayments, plans: SubscriptionPlans
) -> Purchases:
    """Return every purchase once; a checkout covers the intent or invoice that it created."""
    context = _Context(objects, matched, plans.lookup, plans)
    found = _Found(context)
    assumed: set[str] = set()
    for session in sorted(objects.sessions.values(), key=_paid_first):
        purchase = found.add(partial(_by_checkout, session))
        if _is_assumed(session, purchase, context):
            assumed.add(session.id)
    for _, match in sorted(matched.matches.items()):
        found.add(partial(_by_invoice, match))
    awaiting: set[str] = set()
    for payment in matched.payments.values():
        if not (attempt := _bare_attempt(payment, context)):
            continue
        if _names_invoice(payment, context):
            awaiting.update({payment.ref} if _asks_for_a_plan(payment, attempt, context) else ())
        else:
            found.add(partial(_by_payment, payment, attempt))
    return Purchases(
        bought=tuple(found.bought.values()),
        former=tuple(found.former),
        awaiting_invoice=frozenset(awaiting),
        assumed=frozenset(assumed),
    )


def _is_assumed(session: SessionState, purchase: OneTimePurchase | None, context: _Context) -> bool:
    """Return True if the line items of a paid checkout may differ from what is assumed of them.

    Events never carry line items. Without them a checkout is assumed to have sold one of the plan
    that its metadata or its payment link names, which may be wrong where no plan is named, or where
    the quantity counts. One that began a subscription may hold further seats and one-time lines as
    long as its first invoice is unknown.
    """
    if session.lines.complete:
        return False
    if session.mode == "subscription":
        known = _first_invoice_is_known(session, _evidence_of(session, context), context)
        return session.granted is not None and not known
    if purchase is None or not purchase.granted:
        return False
    billed = purchase.invoice and purchase.invoice.lines.lines
    counts = not purchase.plans or any(map(_quantity_counts, purchase.plans))
    return counts and not billed


def _quantity_counts(plan: Plan) -> bool:
    return bool(plan.per_seat) or plan.lasts_days is not None


def _paid_first(session: SessionState) -> tuple[bool, str]:
    return session.granted is None, session.id


def _evidence(
    refs: Iterable[str], match: InvoiceMatch | None, matched: MatchedPayments
) -> _Evidence:
    linked = tuple(matched.payments[ref] for ref in sorted(refs) if ref in matched.payments)
    inferred = tuple(match.payments) if match and match.inferred else ()
    return _Evidence(linked=linked, inferred=inferred, match=match, received=matched)


def _linked(match: InvoiceMatch | None) -> list[str]:
    return [] if match is None or match.inferred else match.payments


def _by_checkout(session: SessionState, context: _Context) -> OneTimePurchase | None:
    """Return what a checkout bought, line by line where its invoice or Stripe's API shows lines.

    A checkout that began a subscription is a purchase only while its first invoice is unknown:
    then its line items alone tell what else it sold.
    """
    evidence = _evidence_of(session, context)
    if session.mode == "payment":
        return _by_payment_checkout(session, evidence, context)
    if session.mode == "subscription" and not _first_invoice_is_known(session, evidence, context):
        return _beside_subscription(session, evidence, context)
    return None


def _evidence_of(session: SessionState, context: _Context) -> _Evidence:
    match = _match_of(session, context.matched)
    refs = {*_linked(match), *([session.payment_intent] if session.payment_intent else ())}
    return _evidence(refs, match, context.matched)


def _match_of(session: SessionState, matched: MatchedPayments) -> InvoiceMatch | None:
    """Return the invoice of a checkout: the one that it names, else that of its payment."""
    if session.invoice or not session.payment_intent:
        return matched.matches.get(session.invoice or session.id)
    linked = matched.linked(session.payment_intent)
    return next((match for match in linked if match.invoice), None)


def _first_invoice_is_known(session: SessionState, evidence: _Evidence, context: _Context) -> bool:
    if session.invoice:
        return evidence.invoice is not None
    return session.subscription is not None and any(
        invoice.subscription == session.subscription
        for invoice in context.objects.invoices.values()
    )


def _by_payment_checkout(
    session: SessionState, evidence: _Evidence, context: _Context
) -> OneTimePurchase:
    plans, invoice = context.plans, evidence.invoice
    by_invoice = bool(invoice and invoice.lines.lines)
    listed = invoice.lines.lines if invoice and by_invoice else session.lines.lines
    list_lines = lines_of_invoice if by_invoice else lines_of_checkout
    stated = (*session.stated, *evidence.stated)
    lines = named_otherwise(list_lines(listed, None, plans), stated, context.lookup)
    lines = lines or (BoughtLine(line="", reference=PlanReference(), sold=NO_PLAN),)
    granted = _granted_to_checkout(session, evidence)
    return _purchase(
        session.payment_intent or evidence.only_ref or session.invoice or session.id,
        evidence,
        lines,
        stated,
        context,
        granted=granted,
        status=_status_of_checkout(session, evidence, granted),
        session=session,
    )


def _beside_subscription(
    session: SessionState, evidence: _Evidence, context: _Context
) -> OneTimePurchase | None:
    lines = lines_of_checkout(session.lines.lines, session.subscription, context.plans)
    if not lines:
        return None
    granted = _granted_to_checkout(session, evidence)
    return _purchase(
        evidence.only_ref or session.invoice or session.id,
        evidence,
        lines,
        (),
        context,
        granted=granted,
        status=_status_of_checkout(session, evidence, granted),
        session=session,
    )


def _granted_to_checkout(session: SessionState, evidence: _Evidence) -> GrantBasis | None:
    if session.granted and not evidence.went_back:
        return session.granted
    if evidence.invoice:
        return _granted_to_invoice(evidence.invoice, evidence)
    return evidence.granted


def _granted_to_invoice(invoice: InvoiceState, evidence: _Evidence) -> GrantBasis | None:
    """Return the basis of what an invoice bought: it is paid, or its payments reach what is due.

    Where a bank took back a payment of a paid invoice, the others must reach it, unless the invoice
    was paid outside Stripe instead.
    """
    due, received = invoice.amount_due, evidence.amount_received
    if invoice.granted:
        is_short = received < (due or 1) and not invoice.paid_out_of_band
        return None if is_short and evidence.was_returned else invoice.granted
    return evidence.granted if due and received >= due else None


def _status_of_checkout(
    session: SessionState, evidence: _Evidence, granted: GrantBasis | None
) -> PurchaseStatus:
    if granted:
        return PurchaseStatus.PAID
    if session.status in (PurchaseStatus.EXPIRED, PurchaseStatus.FAILED):
        return session.status
    ended = (PaymentStatus.FAILED, PaymentStatus.CANCELED)
    known = [each for each in evidence.linked if each.attempts]
    failed = [each for each in known if each.attempts[0].status in ended]
    return PurchaseStatus.FAILED if known and failed == known else PurchaseStatus.PENDING


def _by_invoice(match: InvoiceMatch, context: _Context) -> OneTimePurchase | None:
    """Return what the lines of a paid invoice bought.

    Metadata names a plan only on an invoice that bills no subscription, and only for lines that
    can buy something.
    """
    invoice = match.invoice
    if invoice is None or (match.session and match.session.mode == "payment"):
        return None
    evidence = _evidence(_linked(match), match, context.matched)
    if any(_sold_by_checkout(payment) for payment in evidence.linked):
        return None
    granted = _granted_to_invoice(invoice, evidence)
    if granted is None:
        return None
    subscription = match.subscription
    lines = lines_of_invoice(invoice.lines.lines, subscription, context.plans)
    bare = not invoice.lines.lines or any(map(may_buy, invoice.lines.lines))
    stated = evidence.stated if subscription is None and bare else ()
    lines = named_otherwise(lines, stated, context.lookup)
    if not lines:
        return None
    ref = _ref_of_invoice(invoice, evidence)
    return _purchase(ref, evidence, lines, stated, context, granted=granted)


def _ref_of_invoice(invoice: InvoiceState, evidence: _Evidence) -> str:
    """Return the payment of an invoice, or the invoice if its payment pays others as well."""
    ref = evidence.only_ref
    return ref if ref and len(evidence.received.linked(ref)) == 1 else invoice.id


def _sold_by_checkout(payment: PaymentObjects) -> bool:
    return any(session.mode == "payment" for session in payment.sessions)


def _bare_attempt(payment: PaymentObjects, context: _Context) -> AttemptState | None:
    """Return the intent, or the charge without an intent, that no checkout and invoice explains."""
    attempt = payment.intent or next((c for c in payment.charges if c.id == payment.ref), None)
    if attempt is None or not attempt.granted or payment.ref not in context.matched.received:
        return None
    if payment.sessions or any(match.invoice for match in _links(payment, context)):
        return None
    return attempt


def _links(payment: PaymentObjects, context: _Context) -> list[InvoiceMatch]:
    return context.matched.linked(payment.ref)


def _names_invoice(payment: PaymentObjects, context: _Context) -> bool:
    """Return True if the payment names an invoice, which no event has shown yet."""
    referring = any(may_be_invoice(each.order_reference) for each in payment.attempts)
    return referring or bool(_links(payment, context))


def _asks_for_a_plan(payment: PaymentObjects, attempt: AttemptState, context: _Context) -> bool:
    """Return True if a payment names a plan, or nothing else explains what it is for.

    It may be one of a subscription if its customer has one, or Stripe's own features, or if an
    invoice is inferred to be paid by it.
    """
    if attempt.stated:
        return True
    customer, objects = payment.customer_id, context.objects
    if customer is None:
        return True
    with_access = {each.customer_id for each in objects.subscriptions.values()}
    with_access |= {each.customer_id for each in objects.summaries.values()}
    paid_for = context.matched.matches_of.get(payment.ref, ())
    return customer not in with_access and not any(match.inferred for match in paid_for)


def _by_payment(
    payment: PaymentObjects, attempt: AttemptState, context: _Context
) -> OneTimePurchase | None:
    """Return what a payment bought by its own metadata.

    It buys no plan for which a subscription of its customer stands at that moment: an application
    may write the plan on the payments of a subscription, too.
    """
    lines = named_otherwise((), attempt.stated, context.lookup)
    at = context.matched.received[payment.ref].at
    for plan in plans_of(lines):
        if any(
            _stands_for(plan, each, at, context)
            for each in context.objects.subscriptions.values()
            if each.customer_id and each.customer_id == payment.customer_id
        ):
            context.lookup.note(payment.ref, NoGrant.BESIDE_SUBSCRIPTION)
            context.plans.note_dropped(attempt.stated)
            return None
    if not lines and _asks_for_a_plan(payment, attempt, context):
        context.lookup.note(payment.ref, NoGrant.UNNAMED)
    evidence = _evidence((payment.ref,), None, context.matched)
    granted = attempt.granted
    if not lines or granted is None:
        return None
    return _purchase(payment.ref, evidence, lines, attempt.stated, context, granted=granted)


def _stands_for(
    plan: Plan, subscription: SubscriptionState, at: datetime, context: _Context
) -> bool:
    """Return True if a subscription had an item of the plan then, and had not ended."""
    fields = subscription.newest.fields
    ended_at = (fields.ended_at or subscription.newest.at) if subscription.ended else None
    began_at = fields.started_at or subscription.item_runs[0].at
    if at < began_at or (ended_at and ended_at <= at):
        return False
    runs = subscription.item_runs
    place = max((n for n, run in enumerate(runs) if run.at <= at), default=0)
    held_plans = plans_of_runs(runs, context.lookup)[place].held
    return plan.code in {held.plan.code for held in held_plans}


def _purchase(
    ref: str,
    evidence: _Evidence,
    lines: tuple[BoughtLine, ...],
    stated: tuple[PlanReference, ...],
    context: _Context,
    *,
    granted: GrantBasis | None,
    status: PurchaseStatus = PurchaseStatus.PAID,
    session: SessionState | None = None,
) -> OneTimePurchase:
    lookup, invoice = context.lookup, evidence.invoice
    if granted:
        note_unsold_lines(lines, stated, lookup)
    named = dict.fromkeys(_ever_named(lines, evidence, session, lookup))
    sold = [sold_plan(reference, lookup) for reference in named]
    former = [plan for reference in named for plan in lookup.former_plans_named_by(reference)]
    return OneTimePurchase(
        ref=ref,
        status=status,
        granted=granted,
        paid_at=evidence.paid_at or (granted.since if granted else None),
        customer_id=first_value((session.customer_id if session else None, evidence.customer_id)),
        lines=lines,
        all_time_plans=tuple({each.plan.code: each.plan for each in sold if each.plan}.values()),
        former_plans=tuple({plan.code: plan for plan in former}.values()),
        paid_by=evidence.refs,
        invoice=invoice,
        session=session,
    )


def _ever_named(
    lines: Iterable[BoughtLine],
    evidence: _Evidence,
    session: SessionState | None,
    lookup: PlanLookup,
) -> Iterator[PlanReference]:
    """Yield what each object of a purchase names by itself; one of them decided before others came.

    What stands on the invoice of a subscription is named by its lines alone, unless a checkout in
    mode ``payment`` sold it.
    """
    yield from (line.reference for line in lines)
    sold_by = session if session and session.mode == "payment" else None
    if sold_by:
        yield from (reference_of_line(line) for line in sold_by.lines.lines)
        yield from _first_of_each((sold_by.stated, *sold_by.stated_before), lookup)
    if sold_by or not (evidence.match and evidence.match.subscription):
        intents = [each.intent.stated for each in evidence.linked if each.intent]
        bills = [evidence.invoice.stated] if evidence.invoice else []
        yield from _first_of_each([*intents, *bills], lookup)


def _first_of_each(
    stated: Iterable[tuple[PlanReference, ...]], lookup: PlanLookup
) -> Iterator[PlanReference]:
    for each in stated:
        for catalogue in (lookup, *lookup.former_lookups()):
            if known := first_known(each, catalogue):
                yield known[0]
