"""Check that workers run, and that they do not wait for a PostgreSQL that is frozen or away."""

from collections.abc import Iterator
from contextlib import closing

import redis

from ops.doctor.findings import Finding, ok, problem, warning
from ops.terminal.formats import format_duration, format_time
from runtime.failures.canary import concerns_every_event
from runtime.inbox.entries import Backlog
from runtime.inbox.inbox import Inbox
from runtime.redis_client import make_redis
from runtime.settings import Settings
from runtime.time_limits import COMMAND_REDIS_SECONDS

_CHECK = "workers"


def check_workers(settings: Settings) -> Iterator[Finding]:
    """Check what workers report in Redis; yield nothing if it is unreachable."""
    if settings.redis_url is None:
        return
    try:
        with closing(make_redis(settings, timeout=COMMAND_REDIS_SECONDS)) as client:
            yield _finding(Inbox(client).backlog())
    except (redis.RedisError, ValueError):
        return


def _finding(inbox: Backlog) -> Finding:
    if not inbox.processes:
        return warning(_CHECK, "none runs: start `paidup worker`")
    running = f"{inbox.workers} with {inbox.processes} processes"
    if inbox.breaker is None:
        return ok(_CHECK, running)
    since = ""
    if inbox.breaker.since:
        at, waited = format_time(inbox.breaker.since), format_duration(inbox.breaker_seconds)
        since = f" since {at} ({waited})"
    reason = inbox.breaker.reason
    says = f"{running} wait for PostgreSQL{since}: {reason}"
    if concerns_every_event(reason):
        return problem(_CHECK, f"{says}; no event is charged: mend what PostgreSQL names")
    return problem(_CHECK, f"{says}; bring it back, or point DATABASE_URL at the primary")
