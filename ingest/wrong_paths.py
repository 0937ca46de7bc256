"""Count signed deliveries at paths that are not the endpoint's, and report them now and then.

Only Stripe signs, so most probably its endpoint has a URL with another path than Paidup. A request
costs one count in memory: a thread of its own writes the log line and the record in Redis.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, Protocol
from urllib.parse import quote

import prometheus_client
import structlog

REPORT_SECONDS: Final = 1.0
"""The pause between two reports to Redis."""

_LOG_SECONDS: Final = 60.0
_MAX_PATHS: Final = 20
_MAX_CHARACTERS: Final = 120
_OTHERS: Final = "(other paths)"
_PLAIN: Final = "/-._~!$&'()*+,;=:@"

log = structlog.stdlib.get_logger(__name__)


class WrongPathRecord(Protocol):
    """The record in Redis."""

    def add(self, deliveries: Mapping[str, int]) -> None:
        """Add the number of deliveries for each path."""
        ...


class WrongPathCounter:
    """The deliveries of one server process; ``report`` is called by one thread."""

    def __init__(
        self, endpoint: str, counted: prometheus_client.Counter, clock: Callable[[], float]
    ) -> None:
        """Take the right path, the metric, and monotonic seconds."""
        self._endpoint = endpoint
        self._counted = counted
        self._clock = clock
        self._lock = threading.Lock()
        self._unwritten: Counter[str] = Counter()
        self._unlogged: Counter[str] = Counter()
        self._log_at = float("-inf")

    def add(self, path: str) -> None:
        """Count one delivery; ``path`` is as WSGI gives it."""
        self._counted.inc()
        begin = path[:_MAX_CHARACTERS].encode("latin-1", "replace")
        shown = quote(begin, safe=_PLAIN)[:_MAX_CHARACTERS]
        with self._lock:
            for counter in (self._unwritten, self._unlogged):
                counter[_known(shown, counter)] += 1

    def report(self, record: WrongPathRecord) -> None:
        """Write what is new into the log, at most once a minute, and into Redis.

        Raises:
            RedisError: Redis did not take it; the next call tries again.
        """
        self._write_log()
        with self._lock:
            unwritten, self._unwritten = self._unwritten, Counter()
        if not unwritten:
            return
        try:
            record.add(unwritten)
        except BaseException:
            with self._lock:
                for path, count in unwritten.items():
                    self._unwritten[_known(path, self._unwritten)] += count
            raise

    def _write_log(self) -> None:
        with self._lock:
            if not self._unlogged or self._clock() < self._log_at:
                return
            unlogged, self._unlogged = self._unlogged, Counter()
            self._log_at = self._clock() + _LOG_SECONDS
        log.warning(
            "signed deliveries at a wrong path were answered with 404",
            deliveries=dict(unlogged),
            endpoint=self._endpoint,
            do="correct the endpoint's URL at Stripe, or set PAIDUP_WEBHOOK_PATH",
        )


def _known(path: str, counter: Counter[str]) -> str:
    return path if path in counter or len(counter) < _MAX_PATHS else _OTHERS
