"""Money history put right against rows that somebody else has changed.

A row that was altered from outside says nothing about what was booked, so the difference of two
rows must not be booked again: what counts then is the history itself. Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from billing.ids import UserId
from billing.rows import Key, PaymentRow
from runtime.ledger.decisions import MoneyMoved
from runtime.ledger.money_movements import Pair, movements


class Owner(NamedTuple):
    """Whose money it is, as far as anybody knows, and in which currency."""

    user_id: UserId | None
    currency: str


History = Mapping[Key, Mapping[Owner, int]]
"""What was booked of each payment, by owner; those whose sum is nothing are left out."""


def booked(
    before: Mapping[Key, PaymentRow], after: Mapping[Key, PaymentRow], history: History
) -> list[MoneyMoved]:
    """What to book so that the history of every payment sums to the row after."""
    keys = sorted(before.keys() | after.keys())
    pairs = [
        pair
        for key in keys
        for pair in _pairs(before.get(key), after.get(key), history.get(key, {}))
    ]
    return list(movements(pairs))


def _pairs(
    before: PaymentRow | None, after: PaymentRow | None, history: Mapping[Owner, int]
) -> Iterator[Pair]:
    if history == _owed(after):
        return
    if history == _owed(before):
        yield before, after
        return
    row = after or before
    assert row is not None, "a payment has at least one side"  # noqa: S101 - for the reader
    for owner, amount in sorted(history.items(), key=str):
        if after is None or owner != _owner(after):
            yield _as_booked(row, owner, amount), None
    if after is not None:
        missing = _left(after) - history.get(_owner(after), 0)
        yield replace(after, amount_minor=after.amount_minor - missing), after


def _owed(row: PaymentRow | None) -> Mapping[Owner, int]:
    return {_owner(row): _left(row)} if row is not None and _left(row) else {}


def _owner(row: PaymentRow) -> Owner:
    return Owner(row.user_id, row.currency)


def _left(row: PaymentRow) -> int:
    return row.amount_minor - row.amount_refunded_minor


def _as_booked(row: PaymentRow, owner: Owner, amount: int) -> PaymentRow:
    return replace(
        row,
        user_id=owner.user_id,
        currency=owner.currency,
        amount_minor=amount,
        amount_refunded_minor=0,
    )
