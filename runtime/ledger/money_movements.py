"""Signed changes of payment totals: for each payment they sum to what is left of it.

Money that leaves one row and enters another in the same step was not received twice: an invoice
replaced a payment until the payment itself was known. Both sides are ``moved``, so the sum of
``received`` over all rows is what was received. Money whose user is learned later, or changes,
moves in the same way, so the sum over a user's rows is what is left of that user's payments. Pure.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from billing.rows import PaymentRow
from runtime.ledger.decisions import MoneyMoved, MovementKind

Pair = tuple[PaymentRow | None, PaymentRow | None]


def movements(pairs: Sequence[Pair]) -> Iterator[MoneyMoved]:
    """Yield what to add to each payment's history so that it sums to the row after."""
    steps = [step for pair in pairs for step in _of_one_owner(pair)]
    received, refunded = Counter[str](), Counter[str]()
    for step in steps:
        yield from _losses(step, received, refunded)
    for step in steps:
        yield from _gains(step, received, refunded)


def _of_one_owner(pair: Pair) -> list[Pair]:
    before, after = pair
    if before and after and _owner(before) != _owner(after):
        return [(before, None), (None, after)]
    return [pair]


def _owner(row: PaymentRow) -> tuple[str | None, str]:
    return row.user_id, row.currency


def _losses(step: Pair, received: Counter[str], refunded: Counter[str]) -> Iterator[MoneyMoved]:
    """Yield what a row no longer claims; the pools count it until another row claims it."""
    came, went, currency = _change(step)
    if came < 0:
        received[currency] -= came
        yield _moved(MovementKind.MOVED, came, step)
    if went < 0 and step[1] is None:
        refunded[currency] -= went
        yield _moved(MovementKind.MOVED, -went, step)
    elif went < 0:
        yield _moved(MovementKind.REFUND_REVERSED, -went, step)


def _gains(step: Pair, received: Counter[str], refunded: Counter[str]) -> Iterator[MoneyMoved]:
    came, went, currency = _change(step)
    moved, fresh = _drawn(received, currency, came)
    yield from _unless_nothing(MovementKind.MOVED, moved, step)
    yield from _unless_nothing(MovementKind.RECEIVED, fresh, step)
    moved, fresh = _drawn(refunded, currency, went)
    yield from _unless_nothing(MovementKind.MOVED, -moved, step)
    yield from _unless_nothing(MovementKind.REFUNDED, -fresh, step)


def _drawn(pool: Counter[str], currency: str, gain: int) -> tuple[int, int]:
    moved = min(pool[currency], max(gain, 0))
    pool[currency] -= moved
    return moved, max(gain, 0) - moved


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


def _unless_nothing(movement: MovementKind, amount: int, step: Pair) -> Iterator[MoneyMoved]:
    if amount:
        yield _moved(movement, amount, step)


def _moved(movement: MovementKind, amount: int, step: Pair) -> MoneyMoved:
    return MoneyMoved(
        movement=movement,
        amount_minor=amount,
        payment=_payment_of(step),
        before=step[0],
        after=step[1],
    )
