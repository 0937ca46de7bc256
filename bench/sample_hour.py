"""Give a sample shop an hour of traffic to look back on, so that its charts have a shape.

Redis gets what processes would have counted, PostgreSQL as many settled events. Both are the same
in each run but for their times.
"""

import math
from collections.abc import Iterator, Mapping
from random import Random
from typing import Final

import redis
from sqlalchemy import Connection, text

from runtime.database.engine import engine_for
from runtime.history.spans import HOUR
from tests.system.stack_env import StackUnderTest

_SEED: Final = 18
_PER_SECOND: Final = 9.0
_INSERT: Final = text(
    """
    INSERT INTO stripe_events (id, type, livemode, created_at, received_at, applied_at, outcome,
        attempts, payload, payload_sha256, object_id, realm, fingerprint, origin)
    SELECT 'evt_' || key, 'invoice.finalized', false, at, at, at, 'applied',
        1, '{}', sha256, 'in_' || key, 'test', sha256, 'stripe'
    FROM unnest(CAST(:starts AS float[]), CAST(:numbers AS int[])) AS interval (start, events)
    CROSS JOIN LATERAL generate_series(1, events) AS event (place)
    CROSS JOIN LATERAL (
        SELECT to_timestamp(start + :seconds * (place - 0.5) / events) AS at,
            left(md5(start || '/' || place), 24) AS key,
            encode(sha256(convert_to(start || '/' || place, 'UTF8')), 'hex') AS sha256
    ) AS made
    ORDER BY at
    """
)
"""Events that state nothing, so no other page has more to show by them."""


def look_back_on_an_hour(system: StackUnderTest) -> None:
    """Write the hour; call this before the shop gets its first event."""
    client = redis.Redis.from_url(system.stack.redis_url)
    owner = engine_for(system.stack.owner_database_url, application_name="sample hour")
    try:
        seconds, _ = client.time()
        intervals = dict(_intervals(int(seconds) // HOUR.seconds))
        for number, counted in intervals.items():
            client.hset(f"paidup:{HOUR.key}", str(number % HOUR.places), _field(number, counted))
        with owner.begin() as connection:
            _settle(connection, intervals)
    finally:
        owner.dispose()
        client.close()


def _intervals(now: int) -> Iterator[tuple[int, Mapping[str, int]]]:
    """Yield what was counted in each interval of the hour before this one."""
    chance = Random(_SEED)  # noqa: S311 - a picture, no secret
    for place in range(HOUR.shown):
        wave = 1 + 0.45 * math.sin(place / 38) + 0.2 * math.sin(place / 9)
        accepted = round(_PER_SECOND * HOUR.seconds * wave * chance.uniform(0.85, 1.15))
        ignored = round(accepted * chance.uniform(0.06, 0.1))
        slow, late = math.ceil(accepted * 0.04 * wave), math.ceil(accepted * 0.03 * wave)
        yield (
            now - HOUR.shown + place,
            {
                **dict.fromkeys(("ingest", "worker", "leader"), 1),
                "accepted": accepted,
                "answer|0.0025": accepted - slow,
                "answer|0.01": slow,
                "applied": accepted - ignored,
                "ignored": ignored,
                "lag|0.025": accepted - late,
                "lag|0.1": late,
                "backlog": round(chance.uniform(0, 6) * wave),
                "oldest_due_ms": round(chance.uniform(5, 40) * wave),
                "dead_letters": 0,
            },
        )


def _field(number: int, counted: Mapping[str, int]) -> str:
    return " ".join(f"{name}={value}" for name, value in {"at": number, **counted}.items())


def _settle(connection: Connection, intervals: Mapping[int, Mapping[str, int]]) -> None:
    connection.execute(
        _INSERT,
        {
            "starts": [number * HOUR.seconds for number in intervals],
            "numbers": [each["accepted"] for each in intervals.values()],
            "seconds": HOUR.seconds,
        },
    )
