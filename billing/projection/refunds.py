"""Money going back: refunds, what was authorised and never captured, debits that banks returned.

Stripe counts the release of an uncaptured rest as a refund of the charge, although no money was
received and none goes back. https://docs.stripe.com/payments/place-a-hold-on-a-payment-method
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from billing.objects.charges import ChargeState, RefundState
from billing.objects.observations import EventMoment, ReceivedMoney
from billing.objects.payment_intents import IntentState
from billing.projection.payments import PaymentObjects, returned_at


def was_refunded(payment: PaymentObjects) -> bool:
    """Return True if anything says that money of it went back by a refund, or may have."""
    return bool(payment.refunds) or any(charge.refunded for charge in payment.charges)


def refunded_amount(payment: PaymentObjects, received: ReceivedMoney | None) -> int:
    """Return the amount refunded, which is never more than what was received.

    It is the charges' running totals less refunds that are known not to have succeeded, or the sum
    of the refunds that succeeded, whichever is more; of both, what was released is no refund.
    https://docs.stripe.com/api/refunds/object#refund_object-status
    """
    if received is None:
        return 0
    released = _released(payment)
    by_total = _running_total(payment) - released - _not_given_back(payment)
    by_refunds = _sum(_succeeded(payment)) - _released_by_refunds(payment, received, released)
    return min(received.amount, max(by_total, by_refunds))


def _running_total(payment: PaymentObjects) -> int:
    return sum(charge.refunded for charge in payment.charges)


def _succeeded(payment: PaymentObjects) -> list[RefundState]:
    return [refund for refund in payment.refunds if refund.succeeded]


def _sum(refunds: Iterable[RefundState]) -> int:
    return sum(refund.amount for refund in refunds)


def _released(payment: PaymentObjects) -> int:
    """Return what was authorised and never captured, once nothing more can be captured."""
    charges = [(each, each.collected.amount) for each in payment.charges if each.collected]
    if not charges:
        return payment.intent.uncaptured if payment.intent and payment.intent.final else 0
    return sum(_uncaptured(charge, captured, payment.intent) for charge, captured in charges)


def _uncaptured(charge: ChargeState, captured: int, intent: IntentState | None) -> int:
    if intent and intent.succeeded and intent.collected:
        captured = min(captured, intent.collected.amount)
    rest = max(0, charge.authorized - captured)
    if intent and intent.final:
        return rest
    # Within a capture in parts the total holds no release yet; after it, it holds all of it.
    over = charge.captured and (intent is None or charge.refunded >= rest)
    return rest if over else 0


def _not_given_back(payment: PaymentObjects) -> int:
    """Return what the running totals count although it is not, or no longer, given back."""
    return sum(refund.amount for refund in payment.refunds if _only_counted(payment, refund))


def _only_counted(payment: PaymentObjects, refund: RefundState) -> bool:
    taken = _total_as_of(payment, refund)
    if taken is None or not (refund.pending or refund.failed_at):
        return False
    contained = refund.created_at is None or refund.created_at <= taken
    return contained and (refund.failed_at is None or refund.failed_at > taken)


def _total_as_of(payment: PaymentObjects, refund: RefundState) -> datetime | None:
    """Return the time of the newest running total that may count this refund."""
    totals = [each.refunded_as_of for each in payment.charges if refund.charge in (each.id, None)]
    return max(totals, default=None)


def _released_by_refunds(payment: PaymentObjects, received: ReceivedMoney, released: int) -> int:
    """Return how much of the succeeded refunds was the release, which Stripe makes a refund of.

    That is what they have more than the running total leaves after the release, and what was made
    before the capture was known, since nothing can go back before it came.
    """
    if not released:
        return 0
    succeeded = _succeeded(payment)
    made_before = _sum(refund for refund in succeeded if _made_by_capture(payment, refund))
    counted = [refund for refund in succeeded if _is_counted(payment, refund)]
    left = max(0, _running_total(payment) - released) if counted else received.amount
    return min(released, max(made_before, _sum(counted or succeeded) - left))


def _made_by_capture(payment: PaymentObjects, refund: RefundState) -> bool:
    captured = [each.captured_at for each in payment.charges if each.captured_at]
    if payment.intent and payment.intent.collected and not captured:
        captured = [payment.intent.collected.at]
    return refund.created_at is not None and any(refund.created_at <= at for at in captured)


def _is_counted(payment: PaymentObjects, refund: RefundState) -> bool:
    taken = _total_as_of(payment, refund)
    return taken is not None and refund.first_at <= taken


def totals_changed_at(payment: PaymentObjects, refunded: int) -> datetime | None:
    """Return the second in which money last went back, or failed to; None if it never did."""
    return max(_changes(payment, refunded), default=None)


def _changes(payment: PaymentObjects, refunded: int) -> Iterator[datetime]:
    if at := returned_at(payment):
        yield at
    for refund in payment.refunds:
        if refund.succeeded:
            yield refund.first_at
        if refund.failed_at:
            yield refund.failed_at
    if refunded > _sum(_succeeded(payment)):
        yield from (charge.refunded_by.at for charge in payment.charges if charge.refunded)


def parts_of_refunds(payment: PaymentObjects, refunded: int) -> tuple[tuple[datetime, int], ...]:
    """Return second and amount of each refund; none if they do not add up to what was refunded.

    What only the running total knows is dated by the event that brought it.
    """
    parts = sorted((refund.first_at, refund.amount) for refund in _succeeded(payment))
    rest = refunded - sum(amount for _, amount in parts)
    if rest < 0:
        return ()
    totals = [charge.refunded_by.at for charge in payment.charges if charge.refunded]
    return (*parts, (max(totals), rest)) if rest else tuple(parts)


def events_of_refunds(payment: PaymentObjects) -> Iterator[EventMoment]:
    """Yield the events that tell of what went back."""
    for charge in payment.charges:
        if charge.refunded:
            yield charge.refunded_by
    for refund in payment.refunds:
        if refund.succeeded:
            yield EventMoment(refund.newest.at, refund.newest.event_id)
