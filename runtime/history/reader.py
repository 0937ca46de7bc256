"""Read the history of a span from Redis, in one round trip and without PostgreSQL."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import repeat
from math import inf
from typing import Any, Final

import redis
from prometheus_client.utils import floatToGoString

from runtime.history.distribution import Distribution, distribution_of
from runtime.history.intervals import History, InboxLevels, IngestCounts, Interval, WorkerCounts
from runtime.history.reports import (
    ANSWER,
    BACKLOG,
    BOUND,
    DEAD_LETTERS,
    LAG,
    OLDEST_DUE,
    Kind,
)
from runtime.history.spans import HOUR, HistorySpan
from runtime.telemetry import FAST_BOUNDS, LAG_BOUNDS, OUTCOMES
from runtime.time_limits import HISTORY_REDIS_SECONDS, HISTORY_SPREAD_SECONDS

_LATE: Final = HISTORY_SPREAD_SECONDS + HISTORY_REDIS_SECONDS
"""From the end of a short interval until all processes have reported it."""

Values = Mapping[str, int]
"""The values of one interval as they are stored, by name."""


class _Buckets:
    """The buckets of one histogram, which are read for each interval."""

    def __init__(self, name: str, bounds: tuple[float, ...]) -> None:
        spell: Callable[[float], str] = floatToGoString
        self._beginning = f"{name}{BOUND}"
        self._bounds = (*bounds, inf)
        self.names = tuple(self._beginning + spell(bound) for bound in self._bounds)

    def read(self, values: Values, unknown: Sequence[str]) -> Distribution:
        """Return the distribution of an interval; ``unknown`` are names of another release."""
        known = tuple(map(values.get, self.names, repeat(0)))
        if not unknown:
            return Distribution(self._bounds, known)
        others = {
            float(name.removeprefix(self._beginning)): values[name]
            for name in unknown
            if name.startswith(self._beginning)
        }
        return distribution_of({**dict(zip(self._bounds, known, strict=True)), **others})


_ANSWERS: Final = _Buckets(ANSWER, FAST_BOUNDS)
_LAGS: Final = _Buckets(LAG, LAG_BOUNDS)
_BUCKETS: Final = frozenset(_ANSWERS.names + _LAGS.names)


def read_history(client: redis.Redis, span: HistorySpan, *, prefix: str = "paidup:") -> History:
    """Return the intervals of a span up to now. The client answers in bytes.

    Raises:
        RedisError: Redis is away.
    """
    pipeline: Any = client.pipeline(transaction=False)
    pipeline.time()
    pipeline.hvals(f"{prefix}{span.key}")
    (seconds, microseconds), fields = pipeline.execute()
    return history_of(span, fields, now=seconds + microseconds / 1e6)


def history_of(span: HistorySpan, fields: Iterable[bytes], *, now: float) -> History:
    """Return the history in these fields of a span's key; ``now`` is Redis' time.

    The last interval is the one with the newest short interval that all processes have reported. A
    long one may go on.
    """
    last = last_interval(span, now)
    by_number = {values["at"]: values for values in map(_values, fields)}
    return History(
        intervals=tuple(
            _interval(span, number, by_number.get(number, {}))
            for number in range(last - span.shown + 1, last + 1)
        )
    )


def last_interval(span: HistorySpan, now: float) -> int:
    """Return the number of the last interval that is shown."""
    newest_short = int((now - _LATE) // HOUR.seconds) - 1
    return newest_short * HOUR.seconds // span.seconds


def _values(field: bytes) -> Values:
    words = field.decode().replace("=", " ").split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


def _interval(span: HistorySpan, number: int, values: Values) -> Interval:
    unknown = [name for name in values.keys() - _BUCKETS if BOUND in name]
    return Interval(
        start=datetime.fromtimestamp(number * span.seconds, UTC),
        seconds=span.seconds,
        ingest=_ingest(span, values, unknown),
        workers=_workers(span, values, unknown),
        inbox=_inbox(span, values),
    )


def _ingest(span: HistorySpan, values: Values, unknown: Sequence[str]) -> IngestCounts | None:
    if not (observed := _observed_seconds(span, values, "ingest")):
        return None
    return IngestCounts(
        observed_seconds=observed,
        accepted=values.get("accepted", 0),
        duplicate=values.get("duplicate", 0),
        invalid=values.get("invalid", 0),
        refused=values.get("refused", 0),
        seconds=_ANSWERS.read(values, unknown),
    )


def _workers(span: HistorySpan, values: Values, unknown: Sequence[str]) -> WorkerCounts | None:
    if not (observed := _observed_seconds(span, values, "worker")):
        return None
    return WorkerCounts(
        observed_seconds=observed,
        by_outcome={outcome: values.get(outcome, 0) for outcome in OUTCOMES},
        lag=_LAGS.read(values, unknown),
    )


def _inbox(span: HistorySpan, values: Values) -> InboxLevels | None:
    if not _observed_seconds(span, values, "leader"):
        return None
    return InboxLevels(
        backlog=values.get(BACKLOG, 0),
        oldest_due_seconds=values.get(OLDEST_DUE, 0) / 1000,
        dead_letters=values.get(DEAD_LETTERS),
    )


def _observed_seconds(span: HistorySpan, values: Values, kind: Kind) -> int:
    """Return for how much of the interval that kind of process reported.

    A short interval counts its reports, a long one its short ones.
    """
    return min(values.get(kind, 0) * HOUR.seconds, span.seconds)
