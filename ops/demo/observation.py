"""What stands in the database about a user, and how it differs from what a lifecycle must leave.

The demo and the tests judge by this alone: by the tables applications read, not by our code.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from ops.samples.lifecycles.expected import Expected, ExpectedGrant, ExpectedPayment

Row = Mapping[str, Any]

_QUERIES = {
    "customers": "SELECT stripe_customer_id FROM customers WHERE user_id = :user",
    "subscriptions": "SELECT stripe_subscription_id, status FROM subscriptions"
    " WHERE user_id = :user",
    "purchases": "SELECT purchase_ref, status FROM purchases WHERE user_id = :user",
    "grants": "SELECT source, plan_code, entitlements, active, starts_at, expires_at, event_id,"
    " because FROM user_entitlements WHERE user_id = :user ORDER BY starts_at, source, plan_code",
    "effective": "SELECT feature, value, expires_at FROM effective_entitlements"
    " WHERE user_id = :user ORDER BY feature",
    "payments": "SELECT payment_ref, amount_minor, amount_refunded_minor, currency, status,"
    " dispute_status FROM payments WHERE user_id = :user ORDER BY occurred_at, payment_ref",
    "payment_events": "SELECT id, event_id, event_type, kind, payment_ref, user_id, amount_minor,"
    " currency, occurred_at FROM payment_events WHERE payment_ref IN"
    " (SELECT payment_ref FROM payment_events WHERE user_id = :user UNION"
    " SELECT payment_ref FROM payments WHERE user_id = :user) ORDER BY id",
    "audit": "SELECT id, occurred_at, action, outcome, target_type, target_id, event_id, reason"
    " FROM audit_logs WHERE user_id = :user ORDER BY id",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The rows about one user, each table in a stable order."""

    customers: tuple[Row, ...]
    subscriptions: tuple[Row, ...]
    purchases: tuple[Row, ...]
    grants: tuple[Row, ...]
    effective: tuple[Row, ...]
    payments: tuple[Row, ...]
    payment_events: tuple[Row, ...]
    audit: tuple[Row, ...]

    @property
    def booked(self) -> dict[str, int]:
        """What the changes of each payment add up to."""
        sums: dict[str, int] = {}
        for row in self.payment_events:
            sums[row["payment_ref"]] = sums.get(row["payment_ref"], 0) + row["amount_minor"]
        return sums


def observe(connection: Connection, user_id: str) -> Observed:
    """Everything that stands about a user now."""
    rows = {
        name: tuple(
            dict(row) for row in connection.execute(text(sql), {"user": user_id}).mappings()
        )
        for name, sql in _QUERIES.items()
    }
    return Observed(**rows)


def complaints(expected: Expected, observed: Observed) -> tuple[str, ...]:
    """One sentence for everything that is not as it must be; none if all is well."""
    return (
        *_owner(expected, observed),
        *_grants(expected, observed),
        *_compare("effective entitlements", expected.features, _effective(observed)),
        *_compare("payments", _payments(expected.payments), _seen_payments(observed)),
        *_bookings(observed),
        *_compare("subscriptions", expected.subscriptions, _statuses(observed.subscriptions)),
        *_compare("purchases", expected.purchases, _statuses(observed.purchases)),
    )


def _compare(what: str, expected: object, seen: object) -> Iterator[str]:
    if expected != seen:
        yield f"{what}: expected {expected!r}, found {seen!r}"


def _owner(expected: Expected, observed: Observed) -> Iterator[str]:
    theirs = {row["stripe_customer_id"] for row in observed.customers}
    if expected.customer_id and expected.customer_id not in theirs:
        yield f"customer {expected.customer_id} is not known to be {expected.user_id}"


def _grants(expected: Expected, observed: Observed) -> Iterator[str]:
    """Inactive rows may stand beside those expected: a plan once stated keeps its row."""
    named = [_row_of(grant, observed) for grant in expected.grants]
    for grant, row in zip(expected.grants, named, strict=True):
        if row is None:
            yield f"no entitlement row for {grant.source} under {grant.plan_code}"
        elif row["active"] is not grant.active or row["entitlements"] != grant.features:
            yield f"{grant.source}: expected {grant!r}, found {row!r}"
    strangers = [row for row in observed.grants if row["active"] and row not in named]
    yield from (f"unexpected grant: {row!r}" for row in strangers)


def _row_of(grant: ExpectedGrant, observed: Observed) -> Row | None:
    return next(
        (
            row
            for row in observed.grants
            if row["source"] == grant.source and grant.plan_code in (None, row["plan_code"])
        ),
        None,
    )


def _effective(observed: Observed) -> dict[str, Any]:
    return {row["feature"]: row["value"] for row in observed.effective}


def _payments(payments: tuple[ExpectedPayment, ...]) -> dict[str, tuple[object, ...]]:
    return {
        payment.payment_ref: (
            payment.amount_minor,
            payment.amount_refunded_minor,
            payment.currency,
            payment.status,
            payment.dispute_status,
        )
        for payment in payments
    }


def _seen_payments(observed: Observed) -> dict[str, tuple[object, ...]]:
    return {ref: tuple(values) for ref, *values in (row.values() for row in observed.payments)}


def _bookings(observed: Observed) -> Iterator[str]:
    """For each payment the changes add up to what it holds, and elsewhere to nothing."""
    held = {
        row["payment_ref"]: row["amount_minor"] - row["amount_refunded_minor"]
        for row in observed.payments
    }
    for ref in sorted({*held, *observed.booked}):
        holds, booked = held.get(ref, 0), observed.booked.get(ref, 0)
        if holds != booked:
            yield f"payment {ref} holds {holds}, but its payment_events add up to {booked}"


def _statuses(rows: tuple[Row, ...]) -> dict[str, str]:
    return {str(ref): str(status) for ref, status in (tuple(row.values()) for row in rows)}
