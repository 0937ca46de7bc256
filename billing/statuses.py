"""Stripe's status words that decide something. A word that is not listed never grants."""

SUBSCRIPTION_GRANTS = frozenset({"active", "trialing"})
PAST_DUE = "past_due"
SUBSCRIPTION_ENDED = frozenset({"canceled", "incomplete_expired"})
"""Final: once seen, no other snapshot of the subscription counts, older or newer."""

SESSION_GRANTS = frozenset({"paid", "no_payment_required"})
SESSION_PAID = "paid"
SESSION_COMPLETE = frozenset({None, "complete"})
"""Old API versions have no session status; an open or expired free session grants nothing."""
SESSION_EXPIRED = "expired"
SESSION_EXPIRED_EVENT = "checkout.session.expired"
SESSION_FAILED_EVENT = "checkout.session.async_payment_failed"

NO_CURRENCY = "xxx"
"""ISO 4217's code for no currency."""

SUCCEEDED = "succeeded"
CANCELED = "canceled"
REQUIRES_CAPTURE = "requires_capture"
PAID = "paid"
INVOICE_UNPAID = frozenset({"open", "uncollectible"})
REFUND_FAILED = frozenset({"failed", "canceled"})
REFUND_PENDING = frozenset({"pending", "requires_action"})
CHARGE_FAILED = "failed"
CAPTURE_EVENT = "charge.captured"
SUCCESS_EVENT = "charge.succeeded"
CREDIT_NOTE_VOID = "void"

DISPUTE_LOST = "lost"
DISPUTE_WON = "won"
DISPUTES_WITHOUT_CONSEQUENCE = frozenset(
    {
        DISPUTE_WON,
        "prevented",
        "warning_needs_response",
        "warning_under_review",
        "warning_closed",
        "charge_refunded",
    }
)
"""Any other word, even one that Stripe adds later, is an open dispute."""
