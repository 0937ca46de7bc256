"""Totals of money by currency, day and status, from both sides. Pure.

Theirs are summed from charges, refunds, credit notes and invoices that were paid outside Stripe, as
its lists show them; ours come from payments and their history. A day is that of the money itself,
in UTC. The two are summed in different ways on purpose: a fault of one does not hide in the other.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

from billing.facts import (
    ChargeFields,
    CreditNoteFields,
    Fact,
    InvoiceFields,
    InvoicePaymentFields,
    RefundFields,
)
from billing.ids import stripe_id_of
from billing.statuses import PAID, SUCCEEDED


class MoneyStatus(StrEnum):
    """The two ways of money, to us and back, and what bounds the latter."""

    RECEIVED = "received"
    REFUNDED = "refunded"
    AT_MOST = "refunded at most"
    """The most that came back of a charge of which a part was never captured."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class TotalKey:
    """One line of the totals; ``charge`` is that of a refund until releases are known."""

    currency: str
    day: date
    status: MoneyStatus
    charge: str = ""


Totals = Mapping[TotalKey, int]
"""Minor units by line; no line is zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferingDay:
    """A line of the totals that is not equal on both sides, in minor units."""

    currency: str
    day: date
    status: MoneyStatus
    ours: int
    theirs: int


def totals_of(objects: Iterable[Sequence[Fact]]) -> Counter[TotalKey]:
    """Return the money that objects of Stripe's lists state, each given once.

    An object is given as its facts: its own comes first, then those of what is embedded in it.
    """
    sums: Counter[TotalKey] = Counter()
    for facts in filter(None, objects):
        for status, amount, currency, at in _money(*facts):
            if at is not None and (amount or status is MoneyStatus.AT_MOST):
                sums[_line(currency, at, status, _charge_of(facts[0], status))] += amount
    return sums


def without_releases(totals: Totals) -> Counter[TotalKey]:
    """Return the lines without charges, and without what was released and never received.

    Stripe makes a refund of the part of a charge that is not captured. What the refunds of such a
    charge have more than the charge says came back is that: first the refund of just that amount.
    """
    over = Counter[str]()
    for line, amount in totals.items():
        over[line.charge] += -amount if line.status is MoneyStatus.AT_MOST else amount
    bounded = {line.charge for line in totals if line.status is MoneyStatus.AT_MOST}
    released = {charge: max(0, over[charge]) for charge in bounded}
    sums: Counter[TotalKey] = Counter()
    for line in sorted(totals, key=lambda line: (totals[line] != released.get(line.charge), line)):
        if line.status is not MoneyStatus.AT_MOST:
            taken = min(totals[line], released.get(line.charge, 0))
            if taken:
                released[line.charge] -= taken
            sums[replace(line, charge="")] += totals[line] - taken
    return +sums


def differing_days(
    ours: Totals, theirs: Totals, *, since: date | None = None, before: date
) -> tuple[DifferingDay, ...]:
    """Return the lines that differ on whole days from ``since`` until ``before``, oldest first.

    The day ``before`` is still moving and left out.
    """
    lines = sorted(ours.keys() | theirs.keys(), key=lambda line: (line.day, line))
    return tuple(
        DifferingDay(
            currency=line.currency,
            day=line.day,
            status=line.status,
            ours=ours.get(line, 0),
            theirs=theirs.get(line, 0),
        )
        for line in lines
        if ours.get(line, 0) != theirs.get(line, 0)
        and line.day < before
        and (since is None or line.day >= since)
    )


def totals_to_json(totals: Totals) -> list[list[Any]]:
    """Return the lines as JSON values."""
    return [
        [line.currency, line.day.isoformat(), line.status.value, line.charge, amount]
        for line, amount in sorted(totals.items())
    ]


def totals_from_json(document: Iterable[Iterable[Any]]) -> Counter[TotalKey]:
    """Return the lines of a document that ``totals_to_json`` wrote."""
    sums: Counter[TotalKey] = Counter()
    for currency, day, status, charge, amount in document:
        line = TotalKey(
            currency=currency,
            day=date.fromisoformat(day),
            status=MoneyStatus(status),
            charge=charge,
        )
        sums[line] += amount
    return sums


Money = tuple[MoneyStatus, int, str, datetime | None]
"""Status, minor units, currency and second."""


def _money(fact: Fact, *embedded: Fact) -> Iterator[Money]:
    if isinstance(fact.fields, ChargeFields):
        yield from _refunded_at_most(fact.fields)
    match fact.fields:
        case ChargeFields(status=status, captured=True) as charge if status == SUCCEEDED:
            yield (
                MoneyStatus.RECEIVED,
                charge.amount_captured,
                charge.currency,
                charge.own_created_at,
            )
        case RefundFields(status=status) as refund if status == SUCCEEDED:
            yield MoneyStatus.REFUNDED, refund.amount, refund.currency, refund.own_created_at
        case CreditNoteFields(voided_at=None) as note:
            given = note.out_of_band_amount
            yield MoneyStatus.REFUNDED, given, note.currency, note.own_created_at
        case InvoiceFields(status=status) as bill if status == PAID:
            amount = _paid_outside(bill, embedded)
            yield MoneyStatus.RECEIVED, amount, bill.currency, bill.paid_at
        case _:
            pass


def _refunded_at_most(charge: ChargeFields) -> Iterator[Money]:
    released = 0 if charge.captured_assumed else charge.amount - charge.amount_captured
    if released > 0 and charge.amount_refunded:
        most = max(0, charge.amount_refunded - released)
        yield MoneyStatus.AT_MOST, most, charge.currency, charge.own_created_at


def _charge_of(fact: Fact, status: MoneyStatus) -> str:
    if status is MoneyStatus.AT_MOST:
        return stripe_id_of(fact.object_key)
    return (isinstance(fact.fields, RefundFields) and fact.fields.charge) or ""


def _paid_outside(bill: InvoiceFields, embedded: Iterable[Fact]) -> int:
    """Return what of a bill no payment through Stripe paid, each of which is a charge of its own.

    A bill of an old API version names one payment without its amount; then that paid all of it.
    """
    shown = [each.fields for each in embedded if isinstance(each.fields, InvoicePaymentFields)]
    if not shown:
        return 0 if any(map(_is_charged, bill.payment_refs)) else bill.amount_paid
    charged = (
        each.amount_paid
        for each in shown
        if each.status == PAID and each.payment_ref and _is_charged(each.payment_ref)
    )
    return max(0, bill.amount_paid - sum(charged))


def _is_charged(payment_ref: str) -> bool:
    return payment_ref.startswith(("pi_", "ch_", "py_"))


def _line(currency: str, at: datetime, status: MoneyStatus, charge: str) -> TotalKey:
    return TotalKey(currency=currency, day=at.astimezone(UTC).date(), status=status, charge=charge)
