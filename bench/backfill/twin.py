"""Compare a database that was backfilled with its twin, which heard every webhook of the past."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any, Final

from sqlalchemy import Engine, text

from billing.envelope import parse
from ops.batches import chunks
from runtime.ledger.deliveries import Delivery
from runtime.ledger.record import Ledger

_AT_ONCE: Final = 100


def hear(engine: Engine, bodies: Iterable[bytes], *, accounts: frozenset[str] = frozenset()) -> int:
    """Record events as workers do, and return how many; ``accounts`` are the connected ones."""
    ledger = Ledger(engine, livemode="any", accounts=accounts, deciding_seconds=inf)
    heard = 0
    for some in chunks(bodies, _AT_ONCE):
        ledger.record([_delivery(body) for body in some])
        heard += len(some)
    return heard


def _delivery(body: bytes) -> Delivery:
    envelope = parse(body)
    return Delivery(
        envelope=envelope,
        received_at=datetime.now(UTC),
        attempts=0,
        origin="stripe",
        key=envelope.event_id,
    )


def differences(backfilled: Engine, twin: Engine) -> Iterator[str]:
    """Yield a sentence for each row of access, payments and sums that only one of them has.

    Days of grace begin with an event that Stripe's API does not show, some time after the invoice
    was finalised (docs/rules.md): their ends may differ by an hour.
    """
    for name, query in _COMPARED.items():
        ours, theirs = _rows(backfilled, query), _rows(twin, query)
        yield from (f"{name}: only backfilled: {row}" for row in sorted(ours - theirs))
        yield from (f"{name}: only heard: {row}" for row in sorted(theirs - ours))
    ours_until, theirs_until = _grace_ends(backfilled), _grace_ends(twin)
    for source in ours_until.keys() & theirs_until.keys():
        if abs(ours_until[source] - theirs_until[source]) > _GRACE_WITHIN:
            yield f"grace of {source}: {ours_until[source]} and {theirs_until[source]}"


def size(engine: Engine) -> dict[str, int]:
    """Return the number of rows that are compared."""
    return {name: len(_rows(engine, query)) for name, query in _COMPARED.items()}


def _rows(engine: Engine, query: str) -> set[str]:
    with engine.connect() as connection:
        return {str(tuple(row)) for row in connection.execute(text(query))}


def _grace_ends(engine: Engine) -> dict[str, datetime]:
    """Return the end of access by each subscription that is past due."""
    with engine.connect() as connection:
        return {row.source: row.expires_at for row in connection.execute(_GRACE)}


_GRACE_WITHIN: Final = timedelta(hours=1)
_GRACE: Final = text(
    "SELECT source, expires_at FROM user_entitlements JOIN subscriptions"
    " ON stripe_subscription_id = source AND subscriptions.realm = user_entitlements.realm"
    " WHERE active AND expires_at > now() AND status = 'past_due'"
)
_COMPARED: Final[dict[str, Any]] = {
    "access": (
        "SELECT user_entitlements.user_id, source, plan_code, user_entitlements.realm,"
        " entitlements::text, per_seat::text, CASE WHEN status = 'past_due' THEN 'grace'"
        " ELSE coalesce(expires_at::text, 'for good') END"
        " FROM user_entitlements LEFT JOIN subscriptions"
        " ON stripe_subscription_id = source AND subscriptions.realm = user_entitlements.realm"
        " WHERE active AND (expires_at IS NULL OR expires_at > now())"
    ),
    "payments": (
        "SELECT realm, payment_ref, user_id, stripe_customer_id, amount_minor,"
        " amount_refunded_minor, currency, status, dispute_status, invoice_id, plan_code, inferred,"
        " provisional, occurred_at FROM payments"
    ),
    "payment_events": (
        "SELECT realm, payment_ref, currency, sum(amount_minor) FROM payment_events"
        " GROUP BY realm, payment_ref, currency HAVING sum(amount_minor) <> 0"
    ),
    "days of refunds": (
        "SELECT realm, currency, kind, date(occurred_at), sum(amount_minor) FROM payment_events"
        " WHERE kind LIKE 'refund%' GROUP BY realm, currency, kind, date(occurred_at)"
    ),
}
