"""The ends of a purchase: money that goes back, lines that are credited, and its own time.

What is gone of a purchase is what was refunded or credited of it and its lost disputes. All of what
was received is full, less is partial, and the policy says what each does: by default a full refund
and a lost dispute end a purchase, a partial refund and an open dispute do not. A won dispute
restores it. Warnings and prevented disputes change nothing, and a failed refund counts as none.

Refunds: https://docs.stripe.com/refunds
Disputes over a part: https://docs.stripe.com/api/disputes/object (``amount``)
Credit notes: https://docs.stripe.com/invoicing/integration/programmatic-credit-notes
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from billing.catalogue import MAX_LASTS_DAYS, Policy, PolicyAction
from billing.ids import UserId
from billing.objects.charges import DisputeState
from billing.objects.credit_notes import CreditNoteState
from billing.objects.observations import EventMoment, newest_of
from billing.objects.store import RealmObjects
from billing.projection.invoices import MatchedPayments
from billing.projection.payments import PaymentObjects
from billing.projection.purchase_lines import BoughtLine
from billing.projection.purchases import OneTimePurchase

_BY_POLICY: Final = ", which ends it by policy."
_LAST_YEAR: Final = 9000
"""A pass that would end later is for good."""


class PurchaseEnd(NamedTuple):
    """The moment at which a purchase or a line of it ended, and the reason."""

    moment: EventMoment
    because: str


class Ends(NamedTuple):
    """The ends of a purchase by money: of all of it, and of single lines, by line."""

    whole: PurchaseEnd | None
    by_line: Mapping[str, PurchaseEnd]

    def of(self, line: BoughtLine) -> PurchaseEnd | None:
        """Return the end of a line, if it has ended."""
        return self.whole or self.by_line.get(line.line)


class CreditNotes:
    """The credit notes of a realm that stand, by invoice."""

    def __init__(self, objects: RealmObjects) -> None:
        self._by_invoice: dict[str, list[CreditNoteState]] = defaultdict(list)
        self._refunds = objects.refunds
        for _, note in sorted(objects.credit_notes.items()):
            if note.invoice and not note.void:
                self._by_invoice[note.invoice].append(note)

    def of(self, purchase: OneTimePurchase) -> list[CreditNoteState]:
        """Return the notes of the invoice of a purchase."""
        return self._by_invoice.get(purchase.invoice.id, []) if purchase.invoice else []

    def without_refund(self, note: CreditNoteState) -> int:
        """Return the part of a note that gave no money back: it went to the balance.

        A refund that no event has shown by itself is taken for all of the note.
        """
        if any(refund not in self._refunds for refund in note.refunds):
            return 0
        back = sum(self._refunds[refund].amount for refund in note.refunds)
        return max(0, note.total - back - note.out_of_band_amount)


class ReturnContext(NamedTuple):
    """The inputs that decide whether money that goes back ends a purchase."""

    matched: MatchedPayments
    notes: CreditNotes
    policy: Policy


class _Return(NamedTuple):
    """The money received for a purchase, and the part that is gone, in minor units."""

    payments: list[PaymentObjects]
    refunded_by: list[EventMoment]
    notes: list[CreditNoteState]
    lost: list[DisputeState]
    received: int
    refunded: int
    credited: int
    """What credit notes take off without giving money back."""
    disputed: int
    """What lost disputes took."""

    @property
    def in_part(self) -> bool:
        """True if money went back, or a credit note says nothing of the lines that it credits."""
        without_lines = not all(map(_names_lines, self.notes))
        return self.received > 0 and (self.refunded > 0 or without_lines)


def ends_of(purchase: OneTimePurchase, context: ReturnContext) -> Ends:
    """Return what ended of a purchase, by policy or because a line was credited whole."""
    gone = _return_of(purchase, context)
    policy = context.policy
    causes = [*_open_disputes(purchase, gone, policy), *_gone(purchase, gone, policy)]
    if causes:
        newest = newest_of(cause.moment for cause in causes)
        return Ends(next(cause for cause in causes if cause.moment == newest), {})
    return Ends(None, dict(_credited_lines(purchase, gone.notes, policy)))


def _return_of(purchase: OneTimePurchase, context: ReturnContext) -> _Return:
    """Return what is gone; lost disputes count as far as the policy lets a lost dispute end it."""
    matched, notes = context.matched, context.notes.of(purchase)
    payments = [matched.payments[ref] for ref in purchase.paid_by if ref in matched.payments]
    received = sum(matched.amount_of(ref) for ref in purchase.paid_by)
    counts = context.policy.dispute_lost is PolicyAction.END
    lost = [each for payment in payments for each in payment.disputes if each.lost and counts]
    after = [n for n in notes if purchase.paid_at is None or n.at >= purchase.paid_at]
    return _Return(
        payments=payments,
        refunded_by=[
            by for ref in purchase.paid_by if ref in matched.back for by in matched.back[ref].by
        ],
        notes=notes,
        lost=lost,
        received=received,
        refunded=sum(matched.refunded(ref) for ref in purchase.paid_by),
        credited=sum(context.notes.without_refund(note) for note in after),
        disputed=sum(map(matched.lost_in_disputes, payments)),
    )


def _open_disputes(
    purchase: OneTimePurchase, gone: _Return, policy: Policy
) -> Iterator[PurchaseEnd]:
    if policy.dispute_open is PolicyAction.END:
        for dispute in (each for payment in gone.payments for each in payment.disputes):
            if dispute.open:
                because = f"Dispute {dispute.id} of purchase {purchase.ref} is open{_BY_POLICY}"
                yield PurchaseEnd(dispute.decided_by, because)


def _gone(purchase: OneTimePurchase, gone: _Return, policy: Policy) -> Iterator[PurchaseEnd]:
    """Yield why the purchase ends because of what is gone of it, in full or in part."""
    back = gone.refunded + gone.credited
    refunded = 0 < gone.received <= back or _reach_the_total(purchase, gone.notes)
    full = refunded or 0 < gone.received <= back + gone.disputed
    partial_ends = policy.refund_partial is PolicyAction.END
    if full or partial_ends:
        yield from (_lost(dispute, purchase) for dispute in gone.lost)
    if refunded and policy.refund_full is PolicyAction.END:
        yield _refunded(purchase, gone, "in full")
    elif not refunded and partial_ends and gone.in_part:
        yield _refunded(purchase, gone, "in part")


def _reach_the_total(purchase: OneTimePurchase, notes: list[CreditNoteState]) -> bool:
    """Return True if the credit notes of an invoice take off all of it."""
    total = purchase.invoice.total if purchase.invoice else None
    return total is not None and 0 < total <= sum(note.total for note in notes)


def _names_lines(note: CreditNoteState) -> bool:
    return any(line.invoice_line for line in note.lines)


def _lost(dispute: DisputeState, purchase: OneTimePurchase) -> PurchaseEnd:
    because = f"Dispute {dispute.id} of purchase {purchase.ref} was lost{_BY_POLICY}"
    return PurchaseEnd(dispute.decided_by, because)


def _refunded(purchase: OneTimePurchase, gone: _Return, how: str) -> PurchaseEnd:
    """Return the end by the newest refund, or by the newest credit note without one."""
    what = "refunded" if gone.refunded_by else "credited"
    moment = newest_of([*gone.refunded_by, *(note.decided_by for note in gone.notes)])
    return PurchaseEnd(moment, f"Purchase {purchase.ref} was {what} {how}{_BY_POLICY}")


def _credited_lines(
    purchase: OneTimePurchase, notes: list[CreditNoteState], policy: Policy
) -> Iterator[tuple[str, PurchaseEnd]]:
    """Yield the lines that are credited whole, or in part where a partial refund ends them."""
    for line in purchase.lines:
        credited_by = [
            (credited.amount, note.decided_by)
            for note in notes
            for credited in note.lines
            if line.invoice_line and credited.invoice_line == line.invoice_line
        ]
        gone = sum(amount for amount, _ in credited_by)
        if gone and (gone >= line.amount or policy.refund_partial is PolicyAction.END):
            moment = newest_of(moment for _, moment in credited_by)
            what = f"A line of purchase {purchase.ref} was credited"
            whole = f"{what}, so it is bought no longer."
            in_part = f"{what} in part{_BY_POLICY}"
            yield line.line, PurchaseEnd(moment, whole if gone >= line.amount else in_part)


Passes = Mapping[tuple[str, str], datetime | None]
"""The end of each line of a purchase, by its reference and its line; None is never."""


def own_ends(
    purchases: Iterable[tuple[OneTimePurchase, UserId | None, Ends]],
) -> Passes:
    """Return when each line ends by itself, given with the user and what money ended.

    A plan with ``lasts_days`` is a pass from the second of the money. Passes of one plan and user
    that overlap follow one another, and a quantity of them lasts so many times as long. Seats of
    such a plan run side by side instead. Any other line ends with the period that it is for.
    """
    found: dict[tuple[str, str], datetime | None] = {}
    free_from: dict[tuple[str, str], datetime | None] = {}
    for at, purchase, line, owner, over in sorted(_paid_lines(purchases), key=_by_time):
        plan = line.sold.plan
        if plan is None or plan.lasts_days is None:
            found[purchase.ref, line.line] = line.period_end
            continue
        follows = not plan.per_seat and not over
        days = plan.lasts_days * (1 if plan.per_seat else line.quantity)
        begins = free_from.get((owner, plan.code), at) if follows else at
        ends = _after(begins and max(begins, at), days)
        if follows:
            free_from[owner, plan.code] = ends
        found[purchase.ref, line.line] = ends
    return found


class _PaidLine(NamedTuple):
    at: datetime
    purchase: OneTimePurchase
    line: BoughtLine
    owner: str
    over: bool


def _paid_lines(
    purchases: Iterable[tuple[OneTimePurchase, UserId | None, Ends]],
) -> Iterator[_PaidLine]:
    for purchase, user_id, ends in purchases:
        owner = f"user {user_id}" if user_id else f"customer {purchase.customer_id or purchase.ref}"
        if purchase.paid_at and purchase.granted:
            for line in purchase.lines:
                over = ends.of(line) is not None
                yield _PaidLine(purchase.paid_at, purchase, line, owner, over)


def _by_time(paid: _PaidLine) -> tuple[datetime, str, str]:
    return paid.at, paid.purchase.ref, paid.line.line


def _after(begins: datetime | None, days: int) -> datetime | None:
    """Return the end of a pass; what lasts for centuries is for good."""
    if begins is None or days > MAX_LASTS_DAYS or begins.year > _LAST_YEAR - MAX_LASTS_DAYS // 365:
        return None
    return begins + timedelta(days=days)
