"""The money that a sample lifecycle leaves in the database."""

from ops.samples.lifecycles.expected import Expected


def paid_minor(expected: Expected) -> int:
    """Return the sum of all payments before refunds."""
    return sum(payment.amount_minor for payment in expected.payments)


def refunded_minor(expected: Expected) -> int:
    """Return the sum of all refunds."""
    return sum(payment.amount_refunded_minor for payment in expected.payments)
