"""How much less one snapshot grants than another: the tie breaker of last resort.

Two snapshots of one second that nothing else can order are read so that nobody is given what he
may no longer have. A higher tuple grants less; only tuples of one kind are compared.
"""

from billing.facts import (
    ChargeFields,
    CheckoutSessionFields,
    CustomerFields,
    DisputeFields,
    EntitlementSummaryFields,
    Fields,
    InvoiceFields,
    InvoicePaymentFields,
    PaymentIntentFields,
    RefundFields,
    SubscriptionFields,
)
from billing.statuses import (
    DISPUTE_LOST,
    DISPUTES_WITHOUT_CONSEQUENCE,
    PAST_DUE,
    SESSION_GRANTS,
    SUBSCRIPTION_GRANTS,
)

Restraint = tuple[int, ...]


def restraint(fields: Fields) -> Restraint:
    """Higher where the snapshot grants less or says that less money stayed."""
    match fields:
        case SubscriptionFields():
            return _of_subscription(fields)
        case CheckoutSessionFields():
            return (int(fields.payment_status not in SESSION_GRANTS),)
        case CustomerFields():
            return (int(fields.deleted), int(fields.user_id is None))
        case EntitlementSummaryFields():
            return (-len(fields.lookup_keys),)
        case _:
            return _of_money(fields)


def _of_subscription(fields: SubscriptionFields) -> Restraint:
    status = 0 if fields.status in SUBSCRIPTION_GRANTS else 1 if fields.status == PAST_DUE else 2
    ending = int(fields.cancel_at is not None or fields.cancel_at_period_end)
    return (status, ending, -len(fields.items), -sum(item.quantity for item in fields.items))


def _of_money(
    fields: PaymentIntentFields
    | ChargeFields
    | RefundFields
    | DisputeFields
    | InvoiceFields
    | InvoicePaymentFields,
) -> Restraint:
    match fields:
        case PaymentIntentFields():
            return (int(fields.status != "succeeded"), -fields.amount_received)
        case ChargeFields():
            return (int(fields.status != "succeeded"), fields.amount_refunded)
        case RefundFields():
            return (int(fields.status == "succeeded"),)
        case DisputeFields():
            return (_of_dispute(fields.status),)
        case _:
            return (-fields.amount_paid,)


def _of_dispute(status: str) -> int:
    if status == DISPUTE_LOST:
        return 2
    return 0 if status in DISPUTES_WITHOUT_CONSEQUENCE else 1
