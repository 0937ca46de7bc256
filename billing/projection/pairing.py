"""Pairs invoices with payments by customer, amount, currency and time, where nothing links them."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

PAIRED_WITHIN = timedelta(seconds=60)

Alike = tuple[str | None, int, str]
"""Customer, amount and currency, which an invoice and its payment have in common."""


class OpenInvoice(NamedTuple):
    """An invoice without a link, and the second in which it was paid."""

    ref: str
    alike: Alike
    at: datetime


class FreePayment(NamedTuple):
    """A payment that no invoice claims, and every second at which its money may be said to come.

    ``order_reference`` is the invoice that it names, possibly cut off.
    """

    ref: str
    alike: Alike
    moments: tuple[datetime, ...]
    order_reference: str | None = None


class _Candidate(NamedTuple):
    distance: timedelta
    invoice: str
    payment: str


def nearest_pairs(
    invoices: Iterable[OpenInvoice], payments: Iterable[FreePayment]
) -> list[tuple[str, str]]:
    """Return pairs of invoice and payment, each of them once, the nearest in time first.

    Of equal distances the lower ids go first. An invoice of no customer pairs with nothing.
    """
    pools: dict[Alike, list[tuple[datetime, FreePayment]]] = defaultdict(list)
    for payment in payments:
        pools[payment.alike] += [(moment, payment) for moment in payment.moments]
    for pool in pools.values():
        pool.sort()
    found: list[_Candidate] = []
    for invoice in invoices:
        if invoice.alike[0] is not None:
            found += _near(invoice, pools.get(invoice.alike, []))
    return _one_to_one(sorted(found))


def _near(invoice: OpenInvoice, pool: list[tuple[datetime, FreePayment]]) -> list[_Candidate]:
    first = bisect_left(pool, invoice.at - PAIRED_WITHIN, key=lambda one: one[0])
    end = bisect_right(pool, invoice.at + PAIRED_WITHIN, key=lambda one: one[0])
    return [
        _Candidate(abs(moment - invoice.at), invoice.ref, payment.ref)
        for moment, payment in pool[first:end]
        if invoice.ref.startswith(payment.order_reference or "")
    ]


def _one_to_one(candidates: Iterable[_Candidate]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    taken: set[str] = set()
    for each in candidates:
        if each.invoice not in taken and each.payment not in taken:
            taken.update((each.invoice, each.payment))
            pairs.append((each.invoice, each.payment))
    return pairs
