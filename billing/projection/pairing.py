"""Pairs bills with payments by customer, amount, currency and time, where nothing links them."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

PAIRED_WITHIN = timedelta(seconds=60)

Alike = tuple[str | None, int, str]
"""Customer, amount and currency, which a bill and its payment have in common."""


class Bill(NamedTuple):
    """A bill without a link, and the second in which it was paid."""

    ref: str
    alike: Alike
    at: datetime


class FreePayment(NamedTuple):
    """A payment that no bill claims, and every second at which its money may be said to come.

    ``order_reference`` is the invoice that it names, possibly cut off.
    """

    ref: str
    alike: Alike
    moments: tuple[datetime, ...]
    order_reference: str | None = None


class _Candidate(NamedTuple):
    distance: timedelta
    bill: str
    payment: str


def nearest_pairs(bills: Iterable[Bill], payments: Iterable[FreePayment]) -> list[tuple[str, str]]:
    """Return pairs of bill and payment, each of them once, the nearest in time first.

    Of equal distances the lower ids go first. A bill of no customer pairs with nothing.
    """
    pools: dict[Alike, list[tuple[datetime, FreePayment]]] = defaultdict(list)
    for payment in payments:
        pools[payment.alike] += [(moment, payment) for moment in payment.moments]
    for pool in pools.values():
        pool.sort()
    found: list[_Candidate] = []
    for bill in bills:
        if bill.alike[0] is not None:
            found += _near(bill, pools.get(bill.alike, []))
    return _one_to_one(sorted(found))


def _near(bill: Bill, pool: list[tuple[datetime, FreePayment]]) -> list[_Candidate]:
    first = bisect_left(pool, bill.at - PAIRED_WITHIN, key=lambda one: one[0])
    end = bisect_right(pool, bill.at + PAIRED_WITHIN, key=lambda one: one[0])
    return [
        _Candidate(abs(moment - bill.at), bill.ref, payment.ref)
        for moment, payment in pool[first:end]
        if bill.ref.startswith(payment.order_reference or "")
    ]


def _one_to_one(candidates: Iterable[_Candidate]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    taken: set[str] = set()
    for each in candidates:
        if each.bill not in taken and each.payment not in taken:
            taken.update((each.bill, each.payment))
            pairs.append((each.bill, each.payment))
    return pairs
