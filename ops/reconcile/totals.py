"""Totals of money by currency, day and status, from both sides. Pure.

Theirs are summed from charges, refunds, credit notes and invoices that were paid outside Stripe, as
its lists show them; ours come from payments and their history. A day is that of the money itself,
in UTC. The two are summed in different ways on purpose: a fault of one does not hide in the other.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from billing.statuses import PAID, SUCCEEDED


class MoneyStatus(StrEnum):
    """The two ways of money: to us and back."""

    RECEIVED = "received"
    REFUNDED = "refunded"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class TotalKey:
    """One line of the totals."""

    currency: str
    day: date
    status: MoneyStatus


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
            if amount and at is not None:
                sums[_line(currency, at, status)] += amount
    return sums


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
        [line.currency, line.day.isoformat(), line.status.value, amount]
        for line, amount in sorted(totals.items())
    ]


def totals_from_json(document: Iterable[Iterable[Any]]) -> Counter[TotalKey]:
    """Return the lines of a document that ``totals_to_json`` wrote."""
    sums: Counter[TotalKey] = Counter()
    for currency, day, status, amount in document:
        line = TotalKey(currency=currency, day=date.fromisoformat(day), status=MoneyStatus(status))
        sums[line] += amount
    return sums


Money = tuple[MoneyStatus, int, str, datetime | None]
"""Status, minor units, currency and second."""


def _money(fact: Fact, *embedded: Fact) -> Iterator[Money]:
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


def _line(currency: str, at: datetime, status: MoneyStatus) -> TotalKey:
    return TotalKey(currency=currency, day=at.astimezone(UTC).date(), status=status)
