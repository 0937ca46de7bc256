"""Judge the end of a soak test: every user right, and no row, key or process left over."""

import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import redis
from sqlalchemy import Connection, text

from bench.soak.site import HeldParty
from bench.soak.waits import EventTimes
from ops.demo.observation import differences, observe
from ops.samples.lifecycles.registry import Lifecycle

DOUBLED: Final = (
    # Money that moves to another user has two rows, out and in, both of the same payment.
    (
        "SELECT event_id, payment_ref, kind FROM payment_events WHERE kind <> 'moved'"
        " GROUP BY 1, 2, 3 HAVING count(*) > 1"
    ),
    (
        # Each line of a purchase has an entry of its own.
        "SELECT event_id, user_id, action, target_id FROM audit_logs WHERE event_id IS NOT NULL"
        " GROUP BY 1, 2, 3, 4, origin, coalesce(after, before) ->> 'line' HAVING count(*) > 1"
    ),
    (
        "SELECT payment_ref FROM payments JOIN payment_events USING (payment_ref)"
        " GROUP BY payment_ref, payments.amount_minor, payments.amount_refunded_minor"
        " HAVING sum(payment_events.amount_minor)"
        " <> payments.amount_minor - payments.amount_refunded_minor"
    ),
)
"""Queries that find rows written twice."""

_PROBES: Final = "SELECT count(*) FROM memberships WHERE object_key LIKE 'probe:%'"
_COMMITTED: Final = (
    "SELECT settled.id, extract(epoch FROM"
    " coalesce(pg_xact_commit_timestamp(settled.xmin), settled.applied_at))::float8"
    " AS applied, stated.party FROM stripe_events AS settled LEFT JOIN"
    " (SELECT event_id, min(party) AS party FROM facts GROUP BY event_id) AS stated"
    " ON stated.event_id = settled.id"
)
_UNFINISHED: Final = (
    "index",
    "parked",
    "unknown",
    "claims",
    "held",
    "history",
    "conflicts",
    "queue:*",
    "claim:*",
    "ready:*",
    "index:*",
    "breaker*",
    "resting",
    "apart",
    "settled:bodies",
)
"""Keys of the inbox that must not exist once it is empty and ``LONGEST_KEPT_SECONDS`` are over."""

LONGEST_KEPT_SECONDS: Final = 150.0
"""Bodies of settled events are kept for a minute; a rest is forgotten a minute after its end."""


def settled_ids(connection: Connection) -> set[str]:
    """Return the ids of all settled events."""
    return set(connection.scalars(text("SELECT id FROM stripe_events")))


def doubled_rows(connection: Connection) -> int:
    """Return how many rows were written twice."""
    return sum(len(connection.execute(text(query)).all()) for query in DOUBLED)


def dead_letters(connection: Connection) -> set[str]:
    """Return the ids of all dead letters."""
    return set(connection.scalars(text("SELECT event_id FROM dead_letters")))


def wrong_users(connection: Connection, lifecycles: Iterable[Lifecycle]) -> Iterator[str]:
    """Yield a sentence for each user whose rows are not the result of their lifecycle."""
    for lifecycle in lifecycles:
        found = differences(lifecycle.expected, observe(connection, lifecycle.expected.user_id))
        if found:
            yield f"{lifecycle.name} {lifecycle.seed}: {'; '.join(found)}"


def event_times(
    connection: Connection,
    taken_at: dict[str, float],
    left_out: Collection[str],
    held: Iterable[HeldParty] = (),
) -> Iterator[EventTimes]:
    """Yield when each event was acknowledged and committed, except those that a fault concerned.

    These are the events ``left_out``, and those of customers that were ``held``, meanwhile.
    """
    held_by_party: dict[str, list[HeldParty]] = {}
    for each in held:
        held_by_party.setdefault(each.party, []).append(each)
    for row in connection.execute(text(_COMMITTED)):
        if row.id not in taken_at or row.id in left_out:
            continue
        times = EventTimes(event_id=row.id, taken_at=taken_at[row.id], applied_at=row.applied)
        if not any(_waited_while(each, times) for each in held_by_party.get(row.party, ())):
            yield times


def _waited_while(held: HeldParty, times: EventTimes) -> bool:
    """Return True if an event of the customer waited at some time while it was held."""
    return times.taken_at <= held.until and times.applied_at >= held.since


def rows_left(connection: Connection) -> Iterator[str]:
    """Yield a sentence if a probe of the database left a row."""
    if probes := connection.execute(text(_PROBES)).scalar_one():
        yield f"{probes} rows of probes are left in memberships"


def keys_left(client: redis.Redis, prefix: str) -> Iterator[str]:
    """Yield a sentence for each key that an empty inbox must not have.

    Bodies of events that were settled within the last minute stay, in case PostgreSQL loses them.
    """
    for pattern in _UNFINISHED:
        for key in client.scan_iter(f"{prefix}{pattern}"):
            yield f"the key {key!r} is left in Redis"
    rows: Any = client.lrange(f"{prefix}settled:bodies", 0, -1)
    kept = {row.rpartition(b" ")[2] for row in rows}
    for name in ("event:body", "event:meta"):
        fields: Any = client.hkeys(f"{prefix}{name}")
        for field in set(fields) - kept:
            yield f"{field!r} is left in {name}"


def keys_left_for_good(client: redis.Redis, prefix: str) -> list[str]:
    """Return a sentence for each such key that is not gone in time."""
    until = time.monotonic() + LONGEST_KEPT_SECONDS
    while (left := [*keys_left(client, prefix)]) and time.monotonic() < until:
        time.sleep(1)
    return left


def processes_left(folder: Path) -> Iterator[str]:
    """Yield a sentence for each running process whose environment names the folder."""
    needle = str(folder).encode()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                environ = (process / "environ").read_bytes()
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if needle in environ or needle in command:
                said = command.replace(b"\0", b" ").decode(errors="replace").strip()
                yield f"process {process.name} is left: {said}"
