"""Check that workers run, that they keep up, and that they do not wait for PostgreSQL."""

from collections.abc import Iterator
from contextlib import closing

import redis

from ops.doctor.check_backlog import check_backlog
from ops.doctor.findings import Finding, ok, problem, warning
from ops.status.breaker import describe_breaker, describe_workers
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
            backlog = Inbox(client).backlog()
            yield _finding(backlog)
            yield from check_backlog(backlog, settings.inbox_limit)
    except (redis.RedisError, ValueError):
        return


def _finding(inbox: Backlog) -> Finding:
    if not inbox.processes:
        return warning(_CHECK, "none runs: start `paidup worker`")
    running = f"{describe_workers(inbox)}, breaker {describe_breaker(inbox)}"
    if inbox.breaker is None:
        return ok(_CHECK, running)
    if concerns_every_event(inbox.breaker.reason):
        return problem(_CHECK, f"{running}; no event is charged: mend what PostgreSQL names")
    return problem(
        _CHECK, f"{running}; bring PostgreSQL back, or point DATABASE_URL at the primary"
    )
