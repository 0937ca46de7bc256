"""Compare a database that was backfilled with its twin, which heard every webhook of the past."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from multiprocessing import get_context
from typing import Any, Final

from sqlalchemy import Engine, text

from billing.envelope import parse
from ops.batches import chunks
from runtime.database.engine import engine_for
from runtime.ledger.deliveries import Delivery
from runtime.ledger.record import Ledger
from tests.stripe.company import CompanyPlan, build_company

_AT_ONCE: Final = 100


def hear(engine: Engine, bodies: Iterable[bytes], *, accounts: frozenset[str] = frozenset()) -> int:
    """Record events as workers do, and return how many; ``accounts`` are the connected ones."""
    ledger = Ledger(engine, livemode="any", accounts=accounts, deciding_seconds=inf)
    heard = 0
    for some in chunks(bodies, _AT_ONCE):
        ledger.record([_delivery(body) for body in some])
        heard += len(some)
    return heard


def hear_all(url: str, plan: CompanyPlan, processes: int) -> int:
    """Record every webhook of a company's past, and return how many; each process a part."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        parts = [pool.submit(_hear_part, url, plan, at, processes) for at in range(processes)]
        return sum(part.result() for part in parts)


def _hear_part(url: str, plan: CompanyPlan, at: int, parts: int) -> int:
    """Record the webhooks of every so many customers; each is a party of its own."""
    company = build_company(plan)
    some = replace(company, subscribers=company.subscribers[at::parts])
    engine = engine_for(url, application_name="bench")
    try:
        return hear(engine, (event.delivery().body for event in some.events()))
    finally:
        engine.dispose()


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
    """Yield a sentence for each row of access, payments and sums that only one of them has."""
    for name, query in _COMPARED.items():
        ours, theirs = _rows(backfilled, query), _rows(twin, query)
        yield from (f"{name}: only backfilled: {row}" for row in sorted(ours - theirs))
        yield from (f"{name}: only heard: {row}" for row in sorted(theirs - ours))


def size(engine: Engine) -> dict[str, int]:
    """Return the number of rows that are compared."""
    return {name: len(_rows(engine, query)) for name, query in _COMPARED.items()}


def _rows(engine: Engine, query: str) -> set[str]:
    with engine.connect() as connection:
        return {str(tuple(row)) for row in connection.execute(text(query))}


_COMPARED: Final[dict[str, Any]] = {
    "access": (
        "SELECT user_id, source, plan_code, realm,"
        " entitlements::text, per_seat::text, coalesce(expires_at::text, 'for good')"
        " FROM user_entitlements WHERE active AND (expires_at IS NULL OR expires_at > now())"
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
