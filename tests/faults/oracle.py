"""The oracle of every fault test: the exact rows that must exist after any fault.

Acknowledged events are settled once with all their effects. Refused ones (503, no answer) may be
settled, once. Dead ones are in the dead letters and had no effect. Redis holds no event.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from redis import Redis
from sqlalchemy import Engine, text

from tests.faults.purchases import AMOUNT, CURRENCY, PLAN, name_of, user_of

_ONCE: Final = {"entitlement.granted": 1, "payment.received": 1, "purchase.paid": 1}
_SHOWN: Final = 3

_EMPTY: Final = (
    "index",
    "index:replay",
    "index:fetch",
    "history",
    "held",
    "claims",
    "parked",
    "unknown",
    "ready:live",
    "ready:replay",
    "ready:fetch",
    "conflicts",
)
"""Every key that holds or points to an unsettled event."""

_Reader = Callable[[Any], Any]

_EFFECTS: Final[Mapping[str, tuple[str, _Reader]]] = {
    "stripe_events": (
        (
            "SELECT id, count(*), min(outcome), bool_and(payload_sha256 ="
            " encode(sha256(convert_to(payload, 'UTF8')), 'hex')) FROM stripe_events GROUP BY 1"
        ),
        lambda event: (event, 1, "applied", True),
    ),
    "payments": (
        (
            "SELECT payment_ref, count(*), sum(amount_minor), min(status), min(currency),"
            " min(user_id) FROM payments GROUP BY 1"
        ),
        lambda event: (_pi(event), 1, AMOUNT, "succeeded", CURRENCY, _usr(event)),
    ),
    "payment_events": (
        (
            "SELECT payment_ref, count(*), sum(amount_minor), min(kind), min(event_id)"
            " FROM payment_events GROUP BY 1"
        ),
        lambda event: (_pi(event), 1, AMOUNT, "received", event),
    ),
    "purchases": (
        "SELECT purchase_ref, count(*), min(status), min(user_id) FROM purchases GROUP BY 1",
        lambda event: (_pi(event), 1, "paid", _usr(event)),
    ),
    "user_entitlements": (
        (
            "SELECT source, count(*), min(user_id), min(plan_code), bool_and(active), min(event_id)"
            " FROM user_entitlements GROUP BY 1"
        ),
        lambda event: (_pi(event), 1, _usr(event), PLAN, True, event),
    ),
    "audit_logs": (
        (
            "SELECT event_id, json_object_agg(action, times) FROM (SELECT event_id, action,"
            " count(*) AS times FROM audit_logs WHERE event_id IS NOT NULL"
            " AND action ~ '^(entitlement|payment|purchase)[.]'"
            " GROUP BY 1, 2) AS counted GROUP BY 1"
        ),
        lambda event: (event, _ONCE),
    ),
}


@dataclass(slots=True, kw_only=True)
class DeliveryLog:
    """The answers that senders got; a later refusal does not undo a 2xx."""

    acknowledged: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)

    def took(self, event: str, *, acknowledged: bool) -> None:
        """Record one answer."""
        (self.acknowledged if acknowledged else self.refused).add(event)


def differences_from(
    engine: Engine,
    redis: Redis,
    answers: DeliveryLog,
    *,
    dead: Collection[str] = (),
    letters: Collection[str] = (),
) -> tuple[str, ...]:
    """Return one sentence for each difference, none if the result is right."""
    must = answers.acknowledged - set(dead)
    with engine.connect() as connection:
        rows = {
            table: [tuple(row) for row in connection.execute(text(query))]
            for table, (query, _) in _EFFECTS.items()
        }
        dead_letters = set(connection.scalars(text("SELECT event_id FROM dead_letters")))
    settled = {row[0] for row in rows["stripe_events"]}
    applied = must | (settled & answers.refused)
    return (
        *_lost(must, settled),
        *_unexpected("dead letters", dead_letters, {*dead, *letters}),
        *(c for table in _EFFECTS for c in _differences(table, rows[table], applied)),
        *_left_in(redis),
    )


def _lost(must: set[str], settled: set[str]) -> Iterator[str]:
    if lost := must - settled:
        yield f"lost: {len(lost)} acknowledged events are not settled, {_some(lost)}"


def _unexpected(what: str, found: set[str], expected: set[str]) -> Iterator[str]:
    if found != expected:
        yield f"{what}: too many {_some(found - expected)}, missing {_some(expected - found)}"


def _differences(table: str, found: list[Any], applied: set[str]) -> Iterator[str]:
    _, row_of = _EFFECTS[table]
    expected = {row[0]: row for row in map(row_of, applied)}
    actual = {row[0]: row for row in found}
    for key in sorted(expected.keys() | actual.keys(), key=str)[: len(expected) + len(actual)]:
        if expected.get(key) != actual.get(key):
            yield f"{table}: expected {expected.get(key)}, found {actual.get(key)}"


def _left_in(redis: Redis, prefix: str = "paidup:") -> Iterator[str]:
    left = [name for name in _EMPTY if redis.exists(prefix + name)]
    left += _left_beside_kept_bodies(redis, prefix)
    left += [key.decode() for key in redis.scan_iter(f"{prefix}queue:*", count=1000)]
    left += [key.decode() for key in redis.scan_iter(f"{prefix}claim:*", count=1000)]
    if left:
        yield f"left in Redis: {_some(set(left))}"


def _left_beside_kept_bodies(redis: Any, prefix: str) -> list[str]:
    """Return bodies and headers other than those kept of the events that were settled last."""
    kept = {entry.split(b" ", 2)[2] for entry in redis.lrange(f"{prefix}settled:bodies", 0, -1)}
    return [
        f"{name} of {key.decode()}"
        for name in ("event:body", "event:meta")
        for key in set(redis.hkeys(prefix + name)) - kept
    ]


def _some(values: set[str]) -> str:
    shown = sorted(values)[:_SHOWN]
    return ", ".join(shown) + (f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else "")


def _pi(event: str) -> str:
    return f"pi_{name_of(event)}"


def _usr(event: str) -> str:
    return user_of(name_of(event))
