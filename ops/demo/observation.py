"""Read the rows about a user and compare them with the rows that a lifecycle must leave.

The demo and the tests judge by the tables that applications read, not by Paidup's own code.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, text

from ops.samples.lifecycles.expected import Expected, ExpectedGrant

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
        """The sum of ``payment_events`` by payment, in minor units."""
        sums: dict[str, int] = {}
        for row in self.payment_events:
            sums[row["payment_ref"]] = sums.get(row["payment_ref"], 0) + row["amount_minor"]
        return sums


def observe(connection: Connection, user_id: str) -> Observed:
    """Read all rows about a user."""
    rows = {
        name: tuple(
            dict(row) for row in connection.execute(text(sql), {"user": user_id}).mappings()
        )
        for name, sql in _QUERIES.items()
    }
    return Observed(**rows)


def differences(expected: Expected, observed: Observed) -> tuple[str, ...]:
    """Return one sentence for each difference; none if all rows are as expected."""
    effective = {row["feature"]: row["value"] for row in observed.effective}
    wanted = {payment.payment_ref: asdict(payment) for payment in expected.payments}
    payments = {row["payment_ref"]: row for row in observed.payments}
    return (
        *_owner(expected, observed),
        *_grants(expected, observed),
        *_compare("effective entitlements", expected.features, effective),
        *_compare("payments", wanted, payments),
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
        yield f"customer {expected.customer_id} is not linked to {expected.user_id}"


def _grants(expected: Expected, observed: Observed) -> Iterator[str]:
    """Compare the grants. Extra inactive rows are fine: a plan once granted keeps its row."""
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


def _bookings(observed: Observed) -> Iterator[str]:
    """Check that the changes of each payment add up to its amount, and others to 0."""
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
