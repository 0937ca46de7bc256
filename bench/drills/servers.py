"""Drills about PostgreSQL and Redis: frozen, unusable, full, with unsafe settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bench.drills.drill import Drill
from bench.drills.site import DrillSite

_REFUSE_ALL: Final = (
    "ALTER TABLE stripe_events DROP CONSTRAINT IF EXISTS drill,"
    " ADD CONSTRAINT drill CHECK (id = '') NOT VALID"
)
_TAKE_ALL: Final = "ALTER TABLE stripe_events DROP CONSTRAINT IF EXISTS drill"
_FULL_AT: Final = 1.1
"""``maxmemory`` by the memory in use: ingest refuses events above 80 %, and workers can write."""


@contextmanager
def postgres_frozen(site: DrillSite) -> Iterator[None]:
    """Freeze PostgreSQL; it keeps its connections and answers nothing."""
    try:
        with site.frozen("postgres"):
            site.send_one()
            yield
    finally:
        site.until_settled()


@contextmanager
def every_event_refused(site: DrillSite) -> Iterator[None]:
    """Let a constraint refuse every event, the built-in ones as well."""
    try:
        with site.owner() as database:
            database.execute(_REFUSE_ALL)
        site.send_one()
        site.until(lambda: site.backlog().breaker_open, "the breaker opens")
        yield
    finally:
        take_every_event(site)
        site.until_settled()


def take_every_event(site: DrillSite) -> None:
    """Drop the constraint that refuses every event."""
    with site.owner() as database:
        database.execute(_TAKE_ALL)


@contextmanager
def unsafe_setting(site: DrillSite) -> Iterator[None]:
    """Let Redis flush its file each second and no longer with each write."""
    with site.redis_setting("appendfsync", "everysec"):
        yield


@contextmanager
def redis_full(site: DrillSite) -> Iterator[None]:
    """Leave Redis hardly more memory than it uses."""
    with site.redis() as client:
        used = int(client.info("memory")["used_memory"])
    with site.redis_setting("maxmemory", str(int(used * _FULL_AT))):
        yield


SERVER_STUCK = Drill(
    alert="PaidupServerStuck",
    does="freezes PostgreSQL, as a hanging disk does, and continues it",
    cause=postgres_frozen,
    page="/",
    along=frozenset({"PaidupBreakerOpen", "PaidupOldestEventTooOld"}),
)
BREAKER_OPEN = Drill(
    alert="PaidupBreakerOpen",
    does="adds a constraint to PostgreSQL that refuses every event, and drops it",
    cause=every_event_refused,
    page="/",
    along=frozenset({"PaidupOldestEventTooOld"}),
    mend=take_every_event,
)
REDIS_UNSAFE = Drill(
    alert="PaidupRedisUnsafe",
    does="sets appendfsync to everysec in Redis, and back",
    cause=unsafe_setting,
    page="/",
    along=frozenset({"PaidupIngestErrors"}),
)
INBOX_FILLS_UP = Drill(
    alert="PaidupInboxFillsUp",
    does="sets maxmemory of Redis close to what it uses, and back",
    cause=redis_full,
    page="/",
    along=frozenset({"PaidupIngestErrors", "PaidupRedisUnsafe"}),
)
