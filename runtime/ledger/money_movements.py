"""Signed changes of payment totals: for each payment they sum to what is left of it.

Money that leaves one row and enters another in the same step was not received twice: an invoice
replaced a payment until the payment itself was known. Both sides are ``moved``, so the sum of
``received`` over all rows is what was received. Money whose user is learned later, or changes,
moves in the same way, so the sum over a user's rows is what is left of that user's payments. What
leaves a row and enters no other was taken back: a debit that the bank returned is a negative
``received``, a refund that did not succeed after all is ``refund_reversed``.

Each change is dated by the second of the money itself, not by that of the event. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from billing.rows import PaymentRow
from runtime.ledger.decisions import MoneyMoved, MovementKind

Pair = tuple[PaymentRow | None, PaymentRow | None]


def movements(pairs: Sequence[Pair]) -> Iterator[MoneyMoved]:
    """Yield what to add to each payment's history so that it sums to the row after."""
    steps = [step for pair in pairs for step in _of_one_owner(pair)]
    received = _Moving((currency, came) for came, _, currency in map(_change, steps))
    refunded = _Moving(
        (currency, went)
        for (_, went, currency), step in zip(map(_change, steps), steps, strict=True)
        if went > 0 or step[1] is None  # a refund that shrinks on its own row is reversed
    )
    for step in steps:
        yield from _losses(step, received, refunded)
    for step in steps:
        yield from _gains(step, received, refunded)


class _Moving:
    """The amount of each currency that leaves one row and enters another in the same step."""

    def __init__(self, changes: Iterable[tuple[str, int]]) -> None:
        left, entered = Counter[str](), Counter[str]()
        for currency, change in changes:
            (entered if change > 0 else left)[currency] += abs(change)
        self._leaving = left & entered
        self._entering = left & entered

    def leave(self, currency: str, amount: int) -> tuple[int, int]:
        """Return how much of a loss enters another row, and how much none."""
        return _drawn(self._leaving, currency, amount)

    def enter(self, currency: str, amount: int) -> tuple[int, int]:
        """Return how much of a gain left another row, and how much is new."""
        return _drawn(self._entering, currency, amount)


def _drawn(pool: Counter[str], currency: str, amount: int) -> tuple[int, int]:
    moved = min(pool[currency], max(amount, 0))
    pool[currency] -= moved
    return moved, max(amount, 0) - moved


def _of_one_owner(pair: Pair) -> list[Pair]:
    before, after = pair
    if before and after and _owner(before) != _owner(after):
        return [(replace(before, changed_at=after.changed_at), None), (None, after)]
    return [pair]


def _owner(row: PaymentRow) -> tuple[str | None, str]:
    return row.user_id, row.currency


def _losses(step: Pair, received: _Moving, refunded: _Moving) -> Iterator[MoneyMoved]:
    came, went, currency = _change(step)
    moved, returned = received.leave(currency, -came)
    yield from _unless_nothing(MovementKind.MOVED, -moved, step, _came_at(step))
    yield from _unless_nothing(MovementKind.RECEIVED, -returned, step, _returned_at(step))
    moved, reversed_ = refunded.leave(currency, -went) if step[1] is None else (0, max(0, -went))
    yield from _unless_nothing(MovementKind.MOVED, moved, step, _went_at(step))
    yield from _unless_nothing(MovementKind.REFUND_REVERSED, reversed_, step, _went_at(step))


def _gains(step: Pair, received: _Moving, refunded: _Moving) -> Iterator[MoneyMoved]:
    came, went, currency = _change(step)
    moved, fresh = received.enter(currency, came)
    yield from _unless_nothing(MovementKind.MOVED, moved, step, _came_at(step))
    yield from _unless_nothing(MovementKind.RECEIVED, fresh, step, _came_at(step))
    moved, fresh = refunded.enter(currency, went)
    yield from _unless_nothing(MovementKind.MOVED, -moved, step, _went_at(step))
    for at, part in _refunds(step, fresh):
        yield from _unless_nothing(MovementKind.REFUNDED, -part, step, at)


def _change(step: Pair) -> tuple[int, int, str]:
    before, after = step
    came = (after.amount_minor if after else 0) - (before.amount_minor if before else 0)
    went = (after.amount_refunded_minor if after else 0) - (
        before.amount_refunded_minor if before else 0
    )
    return came, went, _payment_of(step).currency


def _payment_of(step: Pair) -> PaymentRow:
    payment = step[1] or step[0]
    assert payment is not None, "a change has at least one side"  # noqa: S101 - for the reader
    return payment


def _came_at(step: Pair) -> datetime:
    """Return the second of the money; what leaves a row is dated as it was booked there."""
    before = step[0]
    return (before if before and _change(step)[0] < 0 else _payment_of(step)).occurred_at


def _returned_at(step: Pair) -> datetime:
    """Return the second in which the bank took money back, else that in which it was booked."""
    after = step[1]
    return (after.changed_at if after else None) or _came_at(step)


def _went_at(step: Pair) -> datetime:
    """Return the second in which money last went back, else that of the payment."""
    payment = _payment_of(step)
    return payment.changed_at or payment.occurred_at


def _refunds(step: Pair, fresh: int) -> Sequence[tuple[datetime, int]]:
    """Return the seconds and amounts of what was refunded now, one by one as far as known."""
    before, payment = step[0], _payment_of(step)
    if fresh == sum(amount for _, amount in payment.refunds) and not (
        before and before.amount_refunded_minor
    ):
        return payment.refunds
    alike = [part for part in payment.refunds if part[1] == fresh]
    return alike if len(alike) == 1 else [(_went_at(step), fresh)]


def _unless_nothing(
    movement: MovementKind, amount: int, step: Pair, at: datetime
) -> Iterator[MoneyMoved]:
    if amount:
        yield MoneyMoved(
            movement=movement,
            amount_minor=amount,
            payment=_payment_of(step),
            at=at,
            before=step[0],
            after=step[1],
        )
