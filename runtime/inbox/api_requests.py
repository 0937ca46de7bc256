"""Read how many requests Paidup sent to Stripe's API, and what came of them.

``runtime/stripe_api/budget.py`` counts them in Redis, because the commands that send most of them
are no processes that Prometheus scrapes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import redis

ALLOCATION_DAYS: Final = 30
"""The span of Stripe's allocation of read requests: https://docs.stripe.com/rate-limits."""

ALLOCATION: Final = 10_000
"""Read requests that Stripe allows any account in that span; 500 for each transaction if more."""

MODES: Final = ("live", "test")

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPause:
    """A pause after a 429, for ``seconds`` from now.

    ``limit`` is the one that was reached, as Stripe names it, or empty.
    """

    seconds: float
    limit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiUsage:
    """The reads from Stripe in one account and mode."""

    account: str
    today: int
    in_30_days: int
    pause: ApiPause | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiNumbers:
    """The numbers of all accounts together, for metrics."""

    requests: Mapping[tuple[str, str], int]
    """Requests ever sent, by caller and result."""
    reads: Mapping[str, int]
    """Reads of the last 30 days, by mode. Stripe's allocation is for a platform and its connected
    accounts together."""
    paused: bool
    """True while Stripe's 429 pauses the requests in any account."""


class ApiRequests:
    """The counts in Redis."""

    def __init__(self, client: redis.Redis, *, prefix: str = "paidup:") -> None:
        """Use a client that answers in bytes; ``make_redis`` makes one."""
        self._client = client
        self._prefix = prefix

    def pause(self, account: str) -> ApiPause | None:
        """Return the pause of an account, given as its realm; None if there is none."""
        with self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hmget(self._budget(account), ["paused_until", "reason"])
            clock, found = pipe.execute()
        return _pause(found, _seconds(clock))

    def usage(self) -> tuple[ApiUsage, ...]:
        """Return the usage of each account, by name; days are those of UTC."""
        now = _seconds(self._client.time())
        names: Any = self._client.smembers(f"{self._prefix}stripe:accounts")
        return tuple(self._usage(name.decode(), now) for name in sorted(names))

    def results(self) -> Mapping[tuple[str, str], int]:
        """Return the number of requests ever sent, by caller and result."""
        found: Any = self._client.hgetall(f"{self._prefix}stripe:results")
        counts = {}
        for name, number in found.items():
            caller, _, result = name.decode().partition(":")
            counts[caller, result] = int(number)
        return counts

    def numbers(self) -> ApiNumbers:
        """Return the numbers of all accounts together."""
        usage = self.usage()
        reads = dict.fromkeys(MODES, 0)
        for each in usage:
            reads[each.account.partition("/")[0]] += each.in_30_days
        return ApiNumbers(
            requests=self.results(),
            reads=reads,
            paused=any(each.pause is not None for each in usage),
        )

    def _usage(self, account: str, now: float) -> ApiUsage:
        days: Any = self._client.hgetall(f"{self._prefix}stripe:sent:{account}")
        today = int(now // _DAY.total_seconds())
        sent = {int(day): int(number) for day, number in days.items()}
        return ApiUsage(
            account=account,
            today=sent.get(today, 0),
            in_30_days=sum(number for day, number in sent.items() if today - day < ALLOCATION_DAYS),
            pause=self.pause(account),
        )

    def _budget(self, account: str) -> str:
        return f"{self._prefix}stripe:budget:{account}"


def _pause(found: Sequence[bytes | None], now: float) -> ApiPause | None:
    until, limit = found
    seconds = float(until or 0) / 1000 - now
    if seconds <= 0:
        return None
    return ApiPause(seconds=seconds, limit=(limit or b"").decode(errors="replace"))


def _seconds(clock: tuple[int, int]) -> float:
    """Return a time of Redis in seconds."""
    seconds, microseconds = clock
    return seconds + microseconds / 1_000_000
