"""Matches invoices with payments.

An invoice is money only as far as no linked payment covers what was paid on it. A paid checkout
without a payment intent stands for the invoice that it names, else for itself, until payments cover
it. An invoice without a link is paired with one payment of the same customer, amount and currency
that was received within a minute of it, the nearest first. Such a pair is inferred: it serves the
sum of money alone.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from billing.ids import CustomerId
from billing.objects.checkouts import SessionState
from billing.objects.credit_notes import CreditNoteState
from billing.objects.invoices import InvoiceState
from billing.objects.observations import EventMoment, ReceivedMoney, first_value
from billing.objects.payment_intents import AttemptState
from billing.objects.store import RealmObjects
from billing.projection.pairing import FreePayment, OpenInvoice, nearest_pairs
from billing.projection.payments import (
    PaymentObjects,
    collected_money,
    identities,
    money_moments,
    payments_of,
    received_money,
)
from billing.projection.refunds import (
    events_of_refunds,
    parts_of_refunds,
    refunded_amount,
    totals_changed_at,
    was_refunded,
)

FIRST_INVOICE_WITHIN = timedelta(hours=1)
"""The most time between a checkout and the payment of its subscription's first invoice."""

SHORTEST_REFERENCE = len("in_") + 8
"""A shorter cut-off invoice id could mean too many invoices."""

_FORM_OF_INVOICE_ID = re.compile("in_[0-9A-Za-z]+")

BilledAmounts = Mapping[str, Sequence[ReceivedMoney]]
"""The amounts paid on the invoices of each subscription."""


@dataclass(slots=True, kw_only=True)
class InvoiceMatch:
    """An invoice, or a checkout that names no invoice, with its payments.

    ``invoice`` is None while only other objects name it; ``payments`` are the references of the
    linked payments, or of the one that is inferred. ``subscription_naming_it`` has the invoice as
    its latest.
    """

    ref: str
    invoice: InvoiceState | None = None
    session: SessionState | None = None
    subscription_naming_it: str | None = None
    payments: list[str] = field(default_factory=list)
    inferred: bool = False

    @property
    def invoice_id(self) -> str | None:
        """The invoice id; None if a checkout stands for itself."""
        return None if self.session and self.session.id == self.ref else self.ref

    @property
    def subscription(self) -> str | None:
        """The subscription that is billed."""
        if self.invoice and self.invoice.subscription:
            return self.invoice.subscription
        stated = self.session.subscription if self.session else None
        return stated or self.subscription_naming_it

    @property
    def customer_id(self) -> CustomerId | None:
        """The customer who is billed."""
        if self.invoice and self.invoice.customer_id:
            return self.invoice.customer_id
        return self.session.customer_id if self.session else None

    @property
    def paid(self) -> ReceivedMoney | None:
        """The amount paid by the invoice's own statement, else by the checkout's."""
        if self.invoice and self.invoice.money:
            return self.invoice.money
        return self.session.money if self.session else None

    @property
    def may_be_inferred(self) -> bool:
        """True if a payment of Stripe's may be its money, although nothing links them."""
        return bool(self.paid) and not (self.invoice and self.invoice.paid_out_of_band)


class MoneyBack(NamedTuple):
    """The money of one payment that went back, the second of its newest change, and the events.

    ``parts`` are second and amount of each refund, where they are known.
    """

    amount: int
    changed_at: datetime | None
    by: tuple[EventMoment, ...]
    parts: tuple[tuple[datetime, int], ...] = ()


@dataclass(slots=True, kw_only=True)
class MatchedPayments:
    """Payments, invoices, the links between them, and the uncovered rest of each invoice.

    ``collected`` is what came, ``received`` what of it the bank has not taken back.
    """

    payments: Mapping[str, PaymentObjects]
    collected: Mapping[str, ReceivedMoney]
    received: Mapping[str, ReceivedMoney]
    matches: dict[str, InvoiceMatch]
    matches_of: dict[str, list[InvoiceMatch]] = field(default_factory=dict)
    """The invoices of each payment, in the order of their ids."""
    uncovered: dict[str, ReceivedMoney] = field(default_factory=dict)
    back: dict[str, MoneyBack] = field(default_factory=dict)
    """What went back, by the reference of the payment or of the uncovered rest."""

    def linked(self, ref: str) -> list[InvoiceMatch]:
        """Return the invoices that an object links to a payment, without an inferred one."""
        return [match for match in self.matches_of.get(ref, ()) if not match.inferred]

    def refunded(self, ref: str) -> int:
        """Return the amount that went back under a reference, 0 if there is none."""
        return self.back[ref].amount if ref in self.back else 0

    def has_row(self, ref: str) -> bool:
        """Return True if a payment or an uncovered rest has a row under this reference."""
        return ref in self.uncovered or (ref in self.payments and self.payments[ref].is_known)

    def amount_of(self, ref: str) -> int:
        """Return the amount received under a reference, 0 if there is none."""
        money = self.received.get(ref) or self.uncovered.get(ref)
        return money.amount if money else 0

    def lost_in_disputes(self, payment: PaymentObjects) -> int:
        """Return what lost disputes took; one in another currency is over the whole payment."""
        money = self.received.get(payment.ref)
        return sum(
            money.amount if money and money.currency != dispute.currency else dispute.amount
            for dispute in payment.disputes
            if dispute.lost
        )


def match_invoices(objects: RealmObjects) -> MatchedPayments:
    """Link payments and invoices, match the others, and compute each invoice's uncovered rest."""
    identity = identities(objects)
    payments = payments_of(objects, identity)
    matched = MatchedPayments(
        payments=payments,
        collected={ref: money for ref, one in payments.items() if (money := collected_money(one))},
        received={ref: money for ref, one in payments.items() if (money := received_money(one))},
        matches=_invoice_matches(objects),
    )
    for invoice, ref in sorted(_links(objects, identity)):
        _match_named(matched.matches, invoice).payments.append(ref)
    _note_subscriptions(objects, matched.matches)
    billed = _billed_amounts(matched)
    _pair(matched, billed)
    for key in sorted(matched.matches):
        for ref in matched.matches[key].payments:
            matched.matches_of.setdefault(ref, []).append(matched.matches[key])
    matched.uncovered = _uncovered(matched, billed)
    matched.back = _money_back(objects, matched)
    return matched


def _invoice_matches(objects: RealmObjects) -> dict[str, InvoiceMatch]:
    """Return every invoice, and every paid checkout that names neither invoice nor payment."""
    matches = {key: InvoiceMatch(ref=key, invoice=each) for key, each in objects.invoices.items()}
    for session in sorted(objects.sessions.values(), key=_paid_last):
        if session.invoice:
            _match_named(matches, session.invoice).session = session
        elif session.money and not session.payment_intent:
            matches[session.id] = InvoiceMatch(ref=session.id, session=session)
    return matches


def _note_subscriptions(objects: RealmObjects, matches: Mapping[str, InvoiceMatch]) -> None:
    """Note for each invoice the subscription that names it as its latest; of two the lower id."""
    for subscription in sorted(objects.subscriptions, reverse=True):
        for ref in objects.subscriptions[subscription].invoices:
            if ref in matches:
                matches[ref].subscription_naming_it = subscription


def _match_named(matches: dict[str, InvoiceMatch], ref: str) -> InvoiceMatch:
    """Return the match of this name; any mention creates it."""
    if ref not in matches:
        matches[ref] = InvoiceMatch(ref=ref)
    return matches[ref]


def _paid_last(session: SessionState) -> tuple[bool, str]:
    return session.money is not None, session.id


def _links(objects: RealmObjects, identity: Mapping[str, str]) -> set[tuple[str, str]]:
    """Return every statement that a payment belongs to an invoice, whichever object makes it."""
    named = [*_named_together(objects), *_referred_to(objects)]
    return {(invoice, identity.get(ref, ref)) for invoice, ref in named if invoice and ref}


def _named_together(objects: RealmObjects) -> list[tuple[str | None, str | None]]:
    named: list[tuple[str | None, str | None]] = [
        (invoice.id, ref) for invoice in objects.invoices.values() for ref in invoice.payment_refs
    ]
    named += [
        (each.invoice, each.payment_ref)
        for each in objects.invoice_payments.values()
        if not each.canceled
    ]
    named += [(each.invoice, each.payment_intent) for each in objects.sessions.values()]
    named += [(charge.invoice, charge.id) for charge in objects.charges.values()]
    named += [(intent.invoice, intent.id) for intent in objects.intents.values()]
    return named


def _referred_to(objects: RealmObjects) -> Iterator[tuple[str, str]]:
    """Yield the invoice of a payment's cut-off reference, if only one invoice fits."""
    for attempt, meant in invoices_referred_to(objects):
        if len(meant) == 1:
            yield meant[0], attempt


def invoices_referred_to(objects: RealmObjects) -> Iterator[tuple[str, list[str]]]:
    """Yield each payment with a reference to an invoice, and the invoices that fit it.

    Any object that names an invoice makes it known, whether its own events are heard or not.
    """
    attempts: list[AttemptState] = [*objects.intents.values(), *objects.charges.values()]
    referring = [
        (one, ref) for one in attempts if (ref := reference_to_invoice(one.order_reference))
    ]
    known = sorted(_invoices_named(objects)) if referring else []
    for attempt, reference in referring:
        first = bisect_left(known, reference)
        end = bisect_left(known, f"{reference}~", lo=first)  # no id has a character above it
        yield attempt.id, known[first:end]


def reference_to_invoice(order_reference: str | None) -> str | None:
    """Return an order reference that has the form of an invoice id, possibly cut off."""
    if order_reference is None or not may_be_invoice(order_reference):
        return None
    return order_reference if len(order_reference) >= SHORTEST_REFERENCE else None


def may_be_invoice(reference: str | None) -> bool:
    """Return True for the form of an invoice id; an application's own reference has another."""
    return bool(reference and _FORM_OF_INVOICE_ID.fullmatch(reference))


def _invoices_named(objects: RealmObjects) -> set[str]:
    """Return every invoice that any object names."""
    named: set[str | None] = {*objects.invoices}
    named.update(each.invoice for each in objects.sessions.values())
    named.update(each.invoice for each in objects.invoice_payments.values())
    named.update(each.invoice for each in objects.intents.values())
    named.update(each.invoice for each in objects.charges.values())
    named.update(each.invoice for each in objects.credit_notes.values())
    named.update(ref for each in objects.subscriptions.values() for ref in each.invoices)
    return {ref for ref in named if ref}


def _pair(matched: MatchedPayments, billed: BilledAmounts) -> None:
    """Match invoices without a link to payments that no other invoice claims."""
    open_matches = [
        match for match in matched.matches.values() if not match.payments and match.may_be_inferred
    ]
    if not open_matches:
        return
    claims: dict[str, list[InvoiceMatch]] = defaultdict(list)
    for match in matched.matches.values():
        for ref in match.payments:
            claims[ref].append(match)
    free = [ref for ref in matched.collected if ref not in claims]
    invoices = [match for match in open_matches if match.invoice_id]
    _match(matched, invoices, [ref for ref in free if not matched.payments[ref].sessions])
    _match(matched, invoices, [ref for ref in free if matched.payments[ref].sessions])
    taken = {ref for match in invoices for ref in match.payments}
    unknown = [
        ref for ref, matches in claims.items() if ref in matched.collected and _all_unknown(matches)
    ]
    spare = [ref for ref in (*free, *unknown) if ref not in taken]
    _match(matched, [match for match in open_matches if _stands_alone(match, billed)], spare)


def _all_unknown(matches: Iterable[InvoiceMatch]) -> bool:
    """Return True if the invoices that a payment names are known by their ids only."""
    return not any(match.invoice or match.session for match in matches)


def _stands_alone(match: InvoiceMatch, billed: BilledAmounts) -> bool:
    if match.invoice_id or not match.paid:
        return False
    return not _billed_since(billed.get(match.subscription or "", ()), match.paid)


def _match(matched: MatchedPayments, matches: Iterable[InvoiceMatch], refs: Iterable[str]) -> None:
    """Match one to one by the nearest time; each of them is matched at most once."""
    free = [_free_payment(matched, ref) for ref in refs]
    if not free:
        return  # the usual case
    unpaired = [
        OpenInvoice(match.ref, (match.customer_id, money.amount, money.currency), money.at)
        for match in matches
        if (money := match.paid) and not match.payments
    ]
    for key, ref in nearest_pairs(unpaired, free):
        matched.matches[key].payments.append(ref)
        matched.matches[key].inferred = True


def _free_payment(matched: MatchedPayments, ref: str) -> FreePayment:
    payment, money = matched.payments[ref], matched.collected[ref]
    named = (reference_to_invoice(attempt.order_reference) for attempt in payment.attempts)
    return FreePayment(
        ref,
        (payment.customer_id, money.amount, money.currency),
        money_moments(payment),
        first_value(named),
    )


def _uncovered(matched: MatchedPayments, billed: BilledAmounts) -> dict[str, ReceivedMoney]:
    found = {}
    for match in matched.matches.values():
        money = match.paid
        if money:
            covered = _covered(matched, match)
            if match.invoice_id is None:
                covered += _billed_since(billed.get(match.subscription or "", ()), money)
            if money.amount > covered:
                found[match.ref] = money._replace(amount=money.amount - covered)
    return found


def _billed_amounts(matched: MatchedPayments) -> BilledAmounts:
    """Return the amounts billed, which matter only if a checkout stands for itself."""
    if all(match.invoice_id for match in matched.matches.values()):
        return {}
    billed: dict[str, list[ReceivedMoney]] = defaultdict(list)
    for match in matched.matches.values():
        if match.invoice_id and match.subscription:
            linked = [matched.collected[ref] for ref in match.payments if ref in matched.collected]
            known = [*([match.paid] if match.paid else ()), *linked]
            if known:
                so_far = max(known[0].amount, sum(money.amount for money in linked))
                first_at = min(money.at for money in known)
                billed[match.subscription].append(
                    ReceivedMoney(so_far, known[0].currency, first_at)
                )
    return billed


def _billed_since(billed: Iterable[ReceivedMoney], checkout: ReceivedMoney) -> int:
    """Return the part of a checkout's amount that its first invoice already states."""
    return sum(money.amount for money in billed if money.at <= checkout.at + FIRST_INVOICE_WITHIN)


def _covered(matched: MatchedPayments, match: InvoiceMatch) -> int:
    """Return the amount of an invoice that its linked payments cover."""
    return sum(_covered_by(matched, ref, match) for ref in match.payments)


def _covered_by(matched: MatchedPayments, ref: str, match: InvoiceMatch) -> int:
    """Return what a payment covers, even if the bank took it back, unless other money came."""
    outside = match.invoice is not None and match.invoice.paid_out_of_band
    if ref not in (matched.received if outside else matched.collected):
        return 0
    parts = [
        each.money for each in matched.payments[ref].invoice_payments if each.invoice == match.ref
    ]
    return sum(money.amount for money in parts if money) or matched.collected[ref].amount


def _money_back(objects: RealmObjects, matched: MatchedPayments) -> dict[str, MoneyBack]:
    """Return what went back of each payment and of each uncovered rest."""
    back: dict[str, MoneyBack] = {}
    for ref, payment in matched.payments.items():
        if ref in matched.received and not was_refunded(payment):
            continue  # the usual case: its money came and stayed
        refunded = refunded_amount(payment, matched.received.get(ref))
        if (changed_at := totals_changed_at(payment, refunded)) or refunded:
            back[ref] = MoneyBack(
                refunded,
                changed_at,
                tuple(events_of_refunds(payment)),
                parts_of_refunds(payment, refunded),
            )
    for note in sorted(objects.credit_notes.values(), key=lambda each: each.id):
        if note.out_of_band_amount and note.invoice in matched.matches:
            _add_out_of_band(note, matched.matches[note.invoice], matched, back)
    return back


def _add_out_of_band(
    note: CreditNoteState,
    match: InvoiceMatch,
    matched: MatchedPayments,
    back: dict[str, MoneyBack],
) -> None:
    """Add what a credit note says was given back outside Stripe, as far as money is there.

    https://docs.stripe.com/api/credit_notes/object#credit_note_object-out_of_band_amount
    """
    rest = 0 if note.void else note.out_of_band_amount
    for ref in (match.ref, *match.payments):
        before = back.get(ref, MoneyBack(0, None, ()))
        part = min(rest, matched.amount_of(ref) - before.amount)
        if matched.amount_of(ref):
            changed_at = max(filter(None, (before.changed_at, note.changed_at)))
            by = (*before.by, note.decided_by) if part else before.by
            parts = (*before.parts, (note.changed_at, part)) if part else before.parts
            back[ref] = MoneyBack(before.amount + part, changed_at, by, parts)
        rest -= part
