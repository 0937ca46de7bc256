"""Money received and given back, payment by payment."""

from collections.abc import Iterable
from dataclasses import dataclass

from ops.samples.worlds.offers import StripePrice
from ops.samples.worlds.records import (
    Charge,
    CreditNote,
    Dispute,
    Intent,
    Invoice,
    InvoiceLine,
    InvoicePayment,
    Session,
    Subscription,
)
from ops.samples.worlds.truth.evidence import (
    AmbiguousWorldError,
    Evidence,
    names_of_line,
    shown_items,
)
from ops.samples.worlds.truth.owners import (
    Whose,
    of_invoice,
    of_payment,
    of_subscription,
    owner,
)

MINUTE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """One payment at the end; ``at`` is None where only later events tell of it."""

    ref: str
    user: str | None
    received: int
    refunded: int
    currency: str
    dispute: str | None
    at: int | None


def money_rows(evidence: Evidence) -> list[Money]:
    """Return every payment that received money, and every bill that no payment covers."""
    rows = [_row(evidence, ref) for ref in known_payments(evidence) if received(evidence, ref)]
    rows += _uncovered_invoices(evidence)
    rows += _uncovered_sessions(evidence)
    return rows


def identity(charge: Charge) -> str:
    """Return the payment of a charge."""
    return charge.intent or charge.id


def known_payments(evidence: Evidence) -> list[str]:
    """Return the payments that any event states, not those that are only named."""
    refs = set(evidence.newest(Intent))
    refs |= {identity(each) for each in evidence.newest(Charge).values()}
    refs |= {each.intent for each in evidence.newest(InvoicePayment).values()}
    refs |= {each.intent or each.charge for each in evidence.refunds().values()}
    refs |= {each.intent or each.charge for each in evidence.newest(Dispute).values()}
    refs |= {each.intent for each in evidence.newest(Session).values() if each.intent}
    return sorted(refs)


def charges_of(evidence: Evidence, ref: str) -> list[Charge]:
    """Return the charges of a payment of which anything was heard."""
    return [each for each in evidence.newest(Charge).values() if identity(each) == ref]


def received(evidence: Evidence, ref: str) -> int:
    """Return the money that a payment brought."""
    charges, intent = charges_of(evidence, ref), evidence.one(Intent, ref)
    charged = sum(
        each.amount_captured for each in charges if each.status == "succeeded" and each.captured
    )
    if charges or intent:
        if is_returned(evidence, ref):
            evidence.use("returned-debit")
        if any(each.released for each in charges):
            evidence.use("released-is-no-refund")
        whole = intent.received if intent and intent.status == "succeeded" else 0
        if len([each for each in (charged, whole) if each]) == 2:  # noqa: PLR2004 - of both kinds
            evidence.use("one-payment")
        return max(charged, whole)
    for session in evidence.newest(Session).values():
        if session.intent == ref and session.payment_status == "paid":
            return session.amount
    paid = [each for each in evidence.newest(InvoicePayment).values() if each.intent == ref]
    return sum(each.amount for each in paid)


def is_returned(evidence: Evidence, ref: str) -> bool:
    """Return whether a debit had succeeded and was taken back."""
    for charge in charges_of(evidence, ref):
        history = evidence.history(Charge, charge.id)
        if charge.status == "failed" and any(each.status == "succeeded" for _, each in history):
            return True
    history_of_intent = evidence.history(Intent, ref)
    had = any(each.status == "succeeded" for _, each in history_of_intent)
    return had and history_of_intent[-1][1].status != "succeeded"


def refunded(evidence: Evidence, ref: str) -> int:
    """Return what was given back of a payment, by card or out of band."""
    stated = [each for each in evidence.refunds().values() if ref in (each.intent, each.charge)]
    running = [refund for charge in charges_of(evidence, ref) for refund in charge.refunds]
    failed = {each.id for each in stated if each.status != "succeeded"}
    back = {each.id: each.amount for each in running if each.id not in failed}
    back |= {each.id: each.amount for each in stated if each.status == "succeeded"}
    if failed:
        evidence.use("refund-undone")
    if back:
        evidence.use("refund")
    notes = [each for each in _notes(evidence, ref) if each.out_of_band]
    given = sum(back.values()) + sum(each.out_of_band for each in notes)
    if notes:
        evidence.use("credit-out-of-band")
    return min(given, received(evidence, ref))


def _notes(evidence: Evidence, ref: str) -> Iterable[CreditNote]:
    invoices = {ref, *invoices_paid_by(evidence, ref)}
    for note in evidence.newest(CreditNote).values():
        if note.invoice in invoices and note.status == "issued":
            yield note


def given_out_of_band(evidence: Evidence, ref: str) -> int:
    """Return the money that credit notes gave back of a payment or an invoice by other ways."""
    return sum(each.out_of_band for each in _notes(evidence, ref))


def disputes_of(evidence: Evidence, ref: str) -> list[Dispute]:
    """Return the disputes of a payment, oldest first."""
    found = [
        each for each in evidence.newest(Dispute).values() if (each.intent or each.charge) == ref
    ]
    return sorted(found, key=lambda each: each.created)


def invoices_paid_by(evidence: Evidence, ref: str) -> list[str]:
    """Return the invoices that a payment paid, by links, else by the pair that the rules infer."""
    linked = evidence.invoices_of(ref)
    if linked:
        return linked
    return [
        invoice.id
        for invoice in evidence.newest(Invoice).values()
        if paired(evidence, invoice) == ref
    ]


def paired(evidence: Evidence, invoice: Invoice) -> str | None:
    """Return the payment that is inferred to pay an invoice that names none."""
    if evidence.payments_of(invoice.id) or not invoice.amount_paid or invoice.paid_at is None:
        return None
    near = [ref for ref in known_payments(evidence) if _fits(evidence, invoice, ref)]
    true = invoice.intent or invoice.charge
    if near == [true]:
        evidence.use("inferred-pair")
        return true
    if near:
        raise AmbiguousWorldError("an invoice and a payment that only look alike")
    return None


def _fits(evidence: Evidence, invoice: Invoice, ref: str) -> bool:
    if evidence.invoices_of(ref) or received(evidence, ref) != invoice.amount_paid:
        return False
    intent, charges = evidence.one(Intent, ref), charges_of(evidence, ref)
    paying: list[Charge | Intent] = [*charges, *([intent] if intent else [])]
    customers = {each.customer for each in paying}
    at = paid_at(evidence, ref)
    if invoice.customer not in customers or at is None or invoice.paid_at is None:
        return False
    return abs(at - invoice.paid_at) <= 2 * MINUTE


def paid_at(evidence: Evidence, ref: str) -> int | None:
    """Return the second of a payment's money, None where no event states it."""
    charges = [each for each in charges_of(evidence, ref) if each.status == "succeeded"]
    if charges:
        return min(each.created for each in charges)
    for at, intent in evidence.history(Intent, ref):
        if intent.status == "succeeded":
            return at
    return None


def _is_dated(evidence: Evidence, ref: str) -> bool:
    """Return whether the charge's own second is the second in which the money came."""
    charges = charges_of(evidence, ref)
    history = [each for charge in charges for each in evidence.history(Charge, charge.id)]
    waits = any(each.status == "pending" or not each.captured for _, each in history)
    intent = evidence.one(Intent, ref)
    manual = intent is not None and intent.capture_method == "manual"
    return (
        bool(charges)
        and not waits
        and not manual
        and all(each.status != "failed" for each in charges)
        and not evidence.account.ancient
    )


def _row(evidence: Evidence, ref: str) -> Money:
    at = paid_at(evidence, ref)
    disputes = disputes_of(evidence, ref)
    charges, intent = charges_of(evidence, ref), evidence.one(Intent, ref)
    stated: list[Charge | Intent] = [*charges, *([intent] if intent else [])]
    dated = _is_dated(evidence, ref)
    if dated and min(each.at for each in evidence.said[charges[0].id]) != charges[0].created:
        evidence.use("dated-by-its-own-second")
    return Money(
        ref=ref,
        user=payer(evidence, ref),
        received=received(evidence, ref),
        refunded=refunded(evidence, ref),
        currency=stated[0].currency if stated else "usd",
        dispute=disputes[-1].status if disputes else None,
        at=at if dated else None,
    )


def payer(evidence: Evidence, ref: str) -> str | None:
    """Return the user whose money it is: the owner of what it paid."""
    return owner(evidence, whose_payment(evidence, ref))


def whose_payment(evidence: Evidence, ref: str) -> Whose:
    """Return what states whose a payment is."""
    for invoice_id in evidence.invoices_of(ref):
        subscription = subscription_of(evidence, invoice_id)
        if subscription:
            return of_subscription(evidence, subscription, [ref])
        invoice = evidence.one(Invoice, invoice_id)
        if invoice:
            return of_invoice(evidence, invoice, ref)
    at = paid_at(evidence, ref)
    sessions = [each for each in evidence.newest(Session).values() if each.intent == ref]
    return of_payment(evidence, ref, at or min((s.created for s in sessions), default=0))


def subscription_of(evidence: Evidence, invoice_id: str) -> str | None:
    """Return the subscription of an invoice, by anything that names both."""
    invoice = evidence.one(Invoice, invoice_id)
    if invoice and invoice.subscription:
        return invoice.subscription
    for session in evidence.newest(Session).values():
        if session.invoice == invoice_id and session.subscription:
            return session.subscription
    for held in evidence.newest(Subscription):
        history = evidence.history(Subscription, held)
        if any(each.latest_invoice == invoice_id for _, each in history):
            return held
    return None


def _covered(evidence: Evidence, invoice_id: str) -> int:
    refs = set(evidence.payments_of(invoice_id))
    invoice = evidence.one(Invoice, invoice_id)
    if invoice and (pair := paired(evidence, invoice)):
        refs.add(pair)
    return sum(received(evidence, each) for each in refs)


def _uncovered_invoices(evidence: Evidence) -> list[Money]:
    found = []
    for invoice in evidence.newest(Invoice).values():
        rest = invoice.amount_paid - _covered(evidence, invoice.id)
        if len(evidence.payments_of(invoice.id)) > 1:
            evidence.use("invoice-of-several-payments")
        if invoice.amount_paid == 0 and invoice.status == "paid":
            evidence.use("zero-invoice-is-no-payment")
        if rest <= 0:
            continue
        evidence.use("invoice-stands-for-money")
        whose = (
            of_subscription(evidence, invoice.subscription, [invoice.id])
            if invoice.subscription
            else of_invoice(evidence, invoice, invoice.id)
        )
        given = given_out_of_band(evidence, invoice.id)
        found.append(
            Money(
                ref=invoice.id,
                user=owner(evidence, whose),
                received=rest,
                refunded=min(given, rest),
                currency="usd",
                dispute=None,
                at=invoice.paid_at,
            )
        )
    return found


def _uncovered_sessions(evidence: Evidence) -> list[Money]:
    found = []
    for session in evidence.newest(Session).values():
        bill = session.invoice or session.id
        if session.intent or session.payment_status != "paid" or evidence.one(Invoice, bill):
            continue
        rest = session.amount - _covered(evidence, bill)
        if rest <= 0:
            continue
        evidence.use("session-stands-for-money")
        found.append(
            Money(
                ref=bill,
                user=owner(evidence, of_subscription(evidence, session.subscription or "", [bill])),
                received=rest,
                refunded=0,
                currency=session.currency,
                dispute=None,
                at=None,
            )
        )
    return found


def period_is_gone(evidence: Evidence, subscription_id: str) -> bool:
    """Return whether policy ends a subscription whose newest paid period went back."""
    newest = _newest_paid_period(evidence, subscription_id)
    if newest is None:
        return False
    invoice, amount = newest
    refs = evidence.payments_of(invoice.id)
    if not refs and (pair := paired(evidence, invoice)):
        if refunded(evidence, pair) or disputes_of(evidence, pair):
            raise AmbiguousWorldError("a period whose money went back by an inferred pair")
        refs = [pair]
    disputes = [each for ref in refs for each in disputes_of(evidence, ref)]
    back = sum(refunded(evidence, ref) for ref in refs)
    lost = sum(each.amount for each in disputes if each.status == "lost")
    for line, happened in (
        ("subscription_refund_full", back >= amount > 0),
        ("subscription_dispute_open", any(map(is_open, disputes))),
        ("subscription_dispute_lost", lost >= amount > 0),
    ):
        if happened:
            evidence.use("money-back-of-subscription")
            if evidence.shop.policy(line) == "end":
                return True
    mixed = back + lost >= amount > 0 and back < amount and lost < amount
    if mixed or 0 < lost < amount:
        raise AmbiguousWorldError("a period that is gone in part")
    return False


def _newest_paid_period(evidence: Evidence, subscription_id: str) -> tuple[Invoice, int] | None:
    items = _entitled_items(evidence, subscription_id)
    found = []
    for invoice in evidence.newest(Invoice).values():
        if invoice.subscription != subscription_id or not invoice.amount_paid:
            continue
        lines = [each for each in invoice.lines if each.item and not each.proration]
        lines = [each for each in lines if each.item in items or _line_sells(evidence, each)]
        if lines:
            amount = sum(each.amount - each.discount for each in lines)
            found.append((max(each.end for each in lines), invoice, amount))
    if not found:
        return None
    _, invoice, amount = max(found, key=lambda each: each[0])
    return invoice, amount


def _entitled_items(evidence: Evidence, subscription_id: str) -> set[str]:
    """Return the items that were ever for a plan; what others cost is no part of a period."""
    history = shown_items(evidence, subscription_id)
    items = [item for _, each in history for item in each.items]
    return {item.id for item in items if _sells_plan(evidence, item.offer, _names(item.offer))}


def _names(offer: StripePrice) -> tuple[str | None, ...]:
    return (offer.price, offer.lookup_key, offer.product)


def _line_sells(evidence: Evidence, line: InvoiceLine) -> bool:
    return _sells_plan(evidence, line.offer, names_of_line(evidence, line))


def _sells_plan(evidence: Evidence, offer: StripePrice, names: Iterable[str | None]) -> bool:
    return not evidence.shop.is_nothing(offer) and any(map(evidence.shop.plan, names))


def is_open(dispute: Dispute) -> bool:
    """Return whether a dispute is undecided and takes money meanwhile."""
    quiet = dispute.status.startswith("warning_") or dispute.status == "prevented"
    return not quiet and dispute.status not in ("won", "lost")
