"""Whether those who wait for entitlement changes are told of them."""

from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Final

import redis
from sqlalchemy import Connection

from ops.doctor.findings import Finding, ok, warning
from ops.terminal.formats import span
from runtime.changes.feed import newest_cursor, waiting_seconds
from runtime.changes.stream import ChangeStream
from runtime.redis_client import make_redis
from runtime.settings import Settings

_CHECK = "changes"
_SECONDS = 2.0
LATE_SECONDS: Final = 10.0
LATE_CHANGES: Final = 1000


def check_changes(connection: Connection, settings: Settings) -> Iterator[Finding]:
    """How far the readers of the view, of the channel and of the stream are behind."""
    waiting = waiting_seconds(connection)
    newest = newest_cursor(connection)
    if waiting > LATE_SECONDS:
        says = f"the oldest that no reader was told of is {span(waiting)} old"
        yield warning(_CHECK, f"{says}: the log of `paidup worker` says why, if one runs")
    else:
        yield ok(_CHECK, f"readers are told of all of them; the newest is {newest}")
    behind = _unstreamed(settings, newest)
    if behind > LATE_CHANGES:
        says = f"the Redis stream lacks {behind}"
        yield warning(_CHECK, f"{says}: the log of `paidup worker` says why, if one runs")


def _unstreamed(settings: Settings, newest: int) -> int:
    """0 where there is no stream, and where Redis is away: that is another check's finding."""
    if not settings.redis_url or not settings.changes_stream_length:
        return 0
    with (
        suppress(redis.RedisError, ValueError),
        closing(make_redis(settings, timeout=_SECONDS)) as client,
    ):
        return newest - ChangeStream(client, length=0).last_cursor()
    return 0
